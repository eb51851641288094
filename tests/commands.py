"""What tests of commands share: a call in this process, and the smallest executor that a sweep can run on."""

from concurrent.futures import Executor, Future

from minilq import cli


def call(capsys, *arguments):
    """Exit status, standard output and the lines of standard error of a command."""
    try:
        status = cli.main([str(a) for a in arguments])
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    return status, out, err.splitlines()


class Serial(Executor):
    """It runs a task when it gets it."""

    def submit(self, function, /, *args, **options):
        future = Future()
        try:
            future.set_result(function(*args, **options))
        except Exception as error:
            future.set_exception(error)
        return future
