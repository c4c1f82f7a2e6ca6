"""`open-dpt`: one command with subcommands, one file each.

Exit status: 0 all well, 1 a part of the run failed (an image, a check), 2 the request cannot be met, 130 interrupted.
"""

import argparse
import os
import sys

from .._version import __version__
from . import align, bench, compare, convert, data, doctor, evaluate, export, info, predict, segment
from .messages import one_line, plain_warnings

# Modules with SUMMARY, add_arguments(parser) and run(arguments) -> exit status. None imports torch before `run`.
_COMMANDS = {
    "predict": predict,
    "segment": segment,
    "convert": convert,
    "export": export,
    "data": data,
    "align": align,
    "evaluate": evaluate,
    "compare": compare,
    "bench": bench,
    "info": info,
    "doctor": doctor,
}

# Set before any library is imported, and only where the user has not.
_ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # PyTorch then asks the system for memory in huge pages. The network's maps are taken anew for every image, and
    # without it a fifth of the time goes into zeroing them page by page (Linux; elsewhere it does nothing).
    "THP_MEM_ALLOC_ENABLE": "1",
}


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (default: of this process) and return its exit status."""
    arguments = _parser().parse_args(argv)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        with plain_warnings(arguments.command):
            return _COMMANDS[arguments.command].run(arguments)
    except KeyboardInterrupt:
        print(f"\nopen-dpt {arguments.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if arguments.debug:
            raise
        print(f"open-dpt {arguments.command}: {one_line(error)}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="open-dpt",
        description="Depth and segmentation of images with DPT models.",
        epilog="`open-dpt COMMAND --help` lists the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"open-dpt {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=module.DESCRIPTION,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.add_argument("--debug", action="store_true", help="on an error show where it comes from")
    return parser


if __name__ == "__main__":
    sys.exit(main())
