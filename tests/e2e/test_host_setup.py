"""tools/host_setup on a made-up machine: what it says, and that it touches nothing unasked."""
import json
import os
import subprocess

import pytest

from processes import ROOT

DEVICE = "0000:3b:00.0"


@pytest.fixture
def machine(tmp_path):
    """Four cores, a card with the kernel's driver and the default route, two interrupts, no hugepage."""
    root = tmp_path / "machine"
    texts = {"sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "0\n",
             "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages": "0\n",
             "sys/kernel/iommu_groups/7/type": "DMA\n",
             "sys/devices/system/cpu/online": "0-3\n", "sys/devices/system/cpu/isolated": "\n",
             "proc/irq/24/smp_affinity_list": "0-3\n", "proc/irq/25/smp_affinity_list": "0\n",
             f"sys/bus/pci/devices/{DEVICE}/numa_node": "0\n",
             f"sys/bus/pci/devices/{DEVICE}/net/eth1/mtu": "1500\n",
             "proc/net/route": "Iface\tDestination\tGateway\neth1\t00000000\t0100000A\n"}
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    driver = root / "sys/bus/pci/drivers/ice"
    driver.mkdir(parents=True)
    (root / f"sys/bus/pci/devices/{DEVICE}/driver").symlink_to(driver)
    config = tmp_path / "penstock.toml"
    config.write_text(f"""[dataplane]
engine = "dpdk"
workers = [2, 3]
[dpdk]
devices = ["{DEVICE}"]
address = "10.0.0.2/24"
memory_mb = 512
""")
    return root, config


def host_setup(machine, *arguments):
    done = subprocess.run([ROOT / "tools" / "host_setup", "--root", machine[0], "--config", machine[1], *arguments],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def items(machine, *arguments):
    code, out, err = host_setup(machine, "--json", *arguments)
    assert code in (0, 1), err
    return {(item["area"], item["name"]): item for item in json.loads(out)["items"]}


def state_of(root):
    return {path: path.read_text() for path in root.rglob("*") if path.is_file()}


def test_it_shows_and_changes_nothing(machine):
    before = state_of(machine[0])
    code, out, _ = host_setup(machine)
    assert code == 1
    for said in ("sysctl -w vm.nr_hugepages=264", "driver ice, interface eth1, NUMA node 0, with the default route",
                 "isolated: none; wanted: 2-3", "1 interrupts may go to workers' cores; wanted: on 0-1"):
        assert said in out, out
    assert state_of(machine[0]) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="--apply needs root")
def test_apply_does_what_it_said_and_says_how_to_keep_it(machine):
    got = items(machine, "--apply", "--only", "hugepages", "--only", "irqs")
    assert got["hugepages", "2 MiB"]["done"] and "/etc/sysctl.d/" in got["hugepages", "2 MiB"]["keep"]
    assert (machine[0] / "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages").read_text() == "264\n"
    assert (machine[0] / "proc/irq/24/smp_affinity_list").read_text() == "0-1"
    assert (machine[0] / "proc/irq/25/smp_affinity_list").read_text() == "0\n"
    assert items(machine, "--only", "irqs")["irqs", "affinity"]["state"] == "ok"


def test_a_card_that_may_be_the_way_in_is_left_alone(machine):
    assert items(machine)["devices", DEVICE]["state"] == "manual"
    assert items(machine, "--force")["devices", DEVICE]["state"] == "todo"
    (machine[0] / "proc/net/route").write_text("Iface\tDestination\tGateway\n")
    assert items(machine)["devices", DEVICE]["state"] == "todo"


def test_wrong_usage_is_said(machine):
    for arguments in (("--cores", "two"), ("--only", "nothing"), ("--config", "/nonexistent.toml")):
        code, _, err = host_setup(machine, *arguments)
        assert code == 2 and "host_setup: error:" in err, err
