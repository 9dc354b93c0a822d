"""Clips, and the encoders and players that move them."""
import pathlib
import subprocess

from processes import PATIENCE, Run

FFMPEG = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "warning", "-y"]


def make_clip(path, seconds=3, video=("libx264", "-preset", "veryfast", "-g", "25", "-bf", "2", "-pix_fmt", "yuv420p"),
              audio=("aac", "-b:a", "64k"), rate=44100, size="320x180"):
    """A moving picture with a tone: 25 frames a second, a keyframe each second, B-frames unless told otherwise."""
    command = [*FFMPEG, "-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25", "-f", "lavfi",
               "-i", f"sine=frequency=440:sample_rate={rate}", "-t", str(seconds)]
    command += ["-c:v", *video] if video else ["-vn"]
    command += ["-c:a", *audio] if audio else ["-an"]
    if video and video[0] == "libx264":
        command += ["-x264-params", "scenecut=0:bitrate=400:vbv-maxrate=500:vbv-bufsize=500"]
    done = subprocess.run([*command, "-f", "flv", str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout
    return pathlib.Path(path)


class Studio:
    """Starts publishers and players of one test and ends what is left of them."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.runs = []

    def start(self, command, label):
        run = Run(command, self.folder / f"{len(self.runs):02}-{label}.txt")
        self.runs.append(run)
        return run

    def publish(self, clip, url, realtime=True, loop=False, label="publish"):
        """Without realtime the whole clip goes out at once; the player has to be there already then."""
        command = [*FFMPEG] + (["-re"] if realtime else []) + (["-stream_loop", "-1"] if loop else [])
        return self.start([*command, "-i", clip, "-c", "copy", "-f", "flv", url], label)

    def play(self, url, got, seconds=None, label="play"):
        """ffmpeg to a file; it ends by itself when the publisher goes, or after so many seconds of media."""
        limit = ["-t", str(seconds)] if seconds else []
        return self.start([*FFMPEG, "-i", url, *limit, "-c", "copy", "-f", "flv", got], label)

    def end_all(self):
        for run in self.runs:
            run.kill_if_running()


def ffprobe_streams(source, seconds=15):
    """codec names by kind, as ffprobe finds them at a file or a URL."""
    done = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "stream=codec_type,codec_name,width,height", "-of",
                           "compact=p=0:nk=0", str(source)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=seconds * PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    found = {}
    for line in done.stdout.splitlines():
        fields = dict(part.split("=", 1) for part in line.split("|") if "=" in part)
        found[fields.get("codec_type")] = fields
    return found
