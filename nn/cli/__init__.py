"""hotgrad on the command line: train, predict, summary, activations, doctor.

Results go to standard output, remarks and errors to standard error. The exit code is 0; 1 for an
error in the data or a file; 2 for a wrong call; 130 after Ctrl-C, with what was learnt saved.
"""

import argparse
import os
import sys
import textwrap

from engine import __version__

from . import doctor, predict, show, train


def main(argv=None):
    """Run a command. Returns the exit code.

    argv  the words after the program's name; default: those it was called with
    """
    options = _parser().parse_args(argv)
    try:
        code = options.run(options, _say)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # who reads our output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except OSError as error:
        _say(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return 1
    except (ValueError, TypeError, ImportError) as error:
        _say(str(error))
        return 1


def _say(line):
    print(f"hotgrad: {line}", file=sys.stderr, flush=True)


def _parser():
    parser = argparse.ArgumentParser(
        prog="hotgrad",
        description="Train nets on tables and images, and look at them.",
        epilog="hotgrad COMMAND --help shows the options of a command, with examples.",
    )
    parser.add_argument("--version", action="version", version=f"hotgrad {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (train, predict, show, doctor):
        module.add_to(commands, _formatted)
    return parser


def _formatted(commands, name, line, examples):
    return commands.add_parser(
        name,
        help=line,
        description=f"{line[0].upper()}{line[1:]}.",
        epilog="examples:\n" + textwrap.indent(textwrap.dedent(examples).strip(), "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
