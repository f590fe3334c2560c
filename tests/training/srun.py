"""Stands for Slurm's `srun`: the command once a node, with one stdin; where one fails, all end."""

import signal
import subprocess
import sys
import time
from types import FrameType


def main() -> int:
    arguments = sys.argv[1:]
    (nodes,) = (int(one.partition("=")[2]) for one in arguments if one.startswith("--nodes="))
    command = arguments[next(i for i, one in enumerate(arguments) if not one.startswith("-")) :]
    text = sys.stdin.buffer.read()
    members = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(nodes)]

    def pass_on(number: int, frame: FrameType | None) -> None:
        for member in members:
            member.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, pass_on)
    for member in members:
        assert member.stdin
        member.stdin.write(text)
        member.stdin.close()
    while None in (codes := [member.poll() for member in members]):
        if any(codes):
            for member in members:
                member.kill()
        time.sleep(0.05)
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
