"""Certificates for a test, made by the openssl command: signed by themselves, good for a month."""
import pathlib
import subprocess


def make_certificate(folder, name, *more_names, kind="ec"):
    """(certificate file, key file, names) for a common name; `kind` is ec or rsa."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    number = len(list(folder.glob("*.pem")))
    cert, key = folder / f"{number}-{name}.pem", folder / f"{number}-{name}.key"
    algorithm = ["-newkey", "rsa:2048"] if kind == "rsa" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    names = (name, *more_names)
    done = subprocess.run(["openssl", "req", "-x509", *algorithm, "-noenc", "-days", "30", "-subj", f"/CN={name}", "-addext",
                           "subjectAltName=" + ",".join(f"DNS:{each}" for each in names), "-keyout", key, "-out", cert],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return cert, key, names
