"""Stands for Slurm's `srun`: the command once a node, with one stdin; where one fails, all end.

It takes signals as that does: for those that ask it to end it kills, others it passes on.
"""

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
    agents = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(nodes)]

    def take(number: int, frame: FrameType | None) -> None:
        for agent in agents:
            agent.send_signal(signal.SIGUSR1 if number == signal.SIGUSR1 else signal.SIGKILL)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
        signal.signal(number, take)
    for agent in agents:
        assert agent.stdin
        agent.stdin.write(text)
        agent.stdin.close()
    while None in (codes := [agent.poll() for agent in agents]):
        if any(codes):
            for agent in agents:
                agent.kill()
        time.sleep(0.05)
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
