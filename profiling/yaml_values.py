"""YAML from others, read as plain values: nothing is evaluated, lost without a word, or multiplied."""

from pathlib import Path

import yaml

from profiling.errors import ConfigError
from profiling.terminal import visible


class _Refused(yaml.constructor.ConstructorError):
    """What is YAML but not read here; its problem is a whole message."""

    def __init__(self, problem, mark):
        super().__init__(problem=problem, problem_mark=mark)


class _Loader(yaml.SafeLoader):
    def flatten_mapping(self, node):
        """Refuse ``<<``, of which a few lines make more than the memory holds, and keys that are there twice."""
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise _Refused("`<<` is not read; write the keys out", key.start_mark)
        super().flatten_mapping(node)
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            name = self.construct_object(key, deep=True)
            if name in seen:
                raise _Refused(f"{key.value[:50]} is there twice; remove one", key.start_mark)
            seen.add(name)

    def construct_object(self, node, deep=False):
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            if not isinstance(node, yaml.ScalarNode):
                raise
            kind = node.tag.rpartition(":")[2]
            raise _Refused(f"{node.value[:50]!r} is no {kind}; correct it", node.start_mark) from None


def read_values(path):
    """What a YAML file says, as plain values.

    Parameters
    ----------
    path : str or Path
        YAML or JSON.

    Returns
    -------
    object
        Dictionaries, lists, strings, numbers, dates, truth values and None.

    Raises
    ------
    ConfigError
        If the file is absent, is no YAML, has a key twice or the merge key ``<<``.
    """
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); correct its path or its permissions") from None
    except _Refused as error:
        raise ConfigError(f"{path}, line {error.problem_mark.line + 1}: {visible(error.problem)}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not YAML; correct it ({visible(' '.join(str(error).split()))})") from None
