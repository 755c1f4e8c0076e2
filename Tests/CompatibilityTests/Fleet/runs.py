"""The life of a run: a folder of its own, a seed that is said, and nothing that is left behind by its end."""
import contextlib
import pathlib
import shutil
import signal
import sys
import tempfile

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def end_on_signals():
    """As an error does, which ends all that was started."""
    for number in SIGNALS:
        signal.signal(number, lambda *_: sys.exit(2))


@contextlib.contextmanager
def undisturbed():
    """Signals do not disturb what takes everything away."""
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class Run:
    """`with Run(what, seed, keep) as run`: what is in `run.folder` is kept where `keep` is true, or where
    `run.code` is not 0 in the end and no signal has ended it. `run.at_the_end(close)` closes what was opened,
    the latest first."""

    def __init__(self, what, seed, keep=False):
        self.what, self.seed, self.keep, self.code = what, seed, keep, 2
        self.endings = contextlib.ExitStack()

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"latchkey-{self.what}-"))
        return self

    def at_the_end(self, close):
        self.endings.callback(close)

    def say(self, text):
        print(f"{self.what}: seed {self.seed}: {text}", flush=True)

    def __exit__(self, kind, error, _):
        with undisturbed():
            self.endings.close()
            is_ended = isinstance(error, SystemExit)
            if self.keep or self.code and not is_ended:
                self.say(f"history, logs and store are in {self.folder}")
            else:
                shutil.rmtree(self.folder)
