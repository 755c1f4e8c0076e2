"""Load over HTTP/2: h2load for one key, load.c where each request has a key of its own or clients fight."""
import json
import re
import subprocess

# Requests outstanding: connections, and streams of each.
SHAPES = {1: (1, 1), 4: (4, 1), 64: (4, 16), 400: (4, 100), 1024: (16, 64)}
# Behind whatever the load itself takes.
ENDING_SECONDS_MAX = 60
KEYS = 10_000


class Load:
    def __init__(self, machine, seconds):
        self.machine, self.seconds, self.bodies, self.troubles = machine, seconds, {}, []
        self.tool = machine.tool("load", "-lnghttp2")

    def body(self, target):
        """Its file."""
        file = self.bodies.setdefault(target.body, self.machine.folder / f"body{len(self.bodies)}")
        if not file.exists():
            file.write_bytes(target.body)
        return file

    def one_key(self, targets, outstanding):
        """Requests a second, of all targets together: each has its part of what is outstanding."""
        connections, streams, targets = shared(targets, outstanding)
        outputs = self.together(
            ["h2load", "-D", self.seconds, "-c", connections, "-m", streams, "-d", self.body(target), "-H",
             f"content-type: {target.type}", "-H", "te: trailers", f"http://127.0.0.1:{target.port}{target.path}"]
            for target in targets)
        return sum(self.read_h2load(target, output) for target, output in zip(targets, outputs))

    def read_h2load(self, target, output):
        done, good = (int(re.search(pattern, output)[1]) for pattern in (r"(\d+) done", r"(\d+) 2xx"))
        if good < done:
            self.troubles.append(f"{target.path}: {done - good} of {done} requests failed")
        return good / self.seconds

    def distinct(self, targets, outstanding):
        """The same where each request has the next one of many keys; a list of what load.c prints."""
        connections, streams, targets = shared(targets, outstanding)
        return self.clients([[target] for target in targets], connections, streams, KEYS)

    def clients(self, steps, connections, streams, keys):
        """For each server one or two targets, which each client does one after the other."""
        outputs = self.together(
            [self.tool, first[0].port, connections, streams, self.seconds, keys, first[0].type,
             *(word for target in first for word in (target.path, self.body(target)))] for first in steps)
        results = [json.loads(output) for output in outputs]
        for first, result in zip(steps, results):
            if result["failed"] or result["unanswered"]:
                self.troubles.append(f"{first[0].path}: beside {result['granted']} that were granted "
                                     f"{result['failed']} failed, {result['unanswered']} were not answered")
        return results

    def together(self, commands):
        processes = [subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
                     for command in commands]
        try:
            return [process.communicate(timeout=self.seconds + ENDING_SECONDS_MAX)[0] for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()


def shared(targets, outstanding):
    """Connections and streams for each target. One request alone goes to the first; of more, with several
    targets, there are a few less than said."""
    connections, streams = SHAPES[outstanding]
    if outstanding < len(targets):
        targets = targets[:outstanding]
    return connections, max(1, streams // len(targets)), targets


def a_second(results):
    return sum(result["granted"] / result["seconds"] for result in results)
