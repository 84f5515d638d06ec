"""Where the files that a list names are, which was written on another machine or before the folder moved."""

import os
import posixpath
import re
from collections import defaultdict
from itertools import takewhile
from urllib.parse import unquote

import pandas as pd

from profiling.errors import ProfilingError

SAMPLE = 2000  # paths that tell where the others are
PROBES = 10  # of them, compared with every file of the same name
RIVALS = 50  # files that a path may as well stand for, at most

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/.*)", re.DOTALL)
_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")


def locate(paths, folder, files, source, outside=False):
    """Find the files that a list names in the listing of the plate's folder.

    Paths are taken as they are, below the folder or, where the file is there, elsewhere. For others that beginning is
    replaced which makes the most of them names of files that are there, so that ``D:\\data\\P1\\Images\\a.tif`` becomes
    ``Images/a.tif``. What begins alike is moved alike: a file that is absent has the path where it should be. Capital
    letters do not matter.

    Parameters
    ----------
    paths : pandas.Series of str
        Paths or ``file:`` URLs, none empty; the index is the line in the list.
    folder : Path
        The plate's folder.
    files : list of profiling.plates.listing.File
        Its listing.
    source : Path
        The list, for messages.
    outside : bool
        Whether files may lie elsewhere: absolute paths are then taken as they are, relative ones that are not below
        the folder are looked for from the list.

    Returns
    -------
    pandas.DataFrame
        ``Path`` (below the folder; absolute where outside), ``FileSize`` and ``Modified`` (0 where it is absent).

    Raises
    ------
    ProfilingError
        If a file is not below the folder and may not be elsewhere, is on the network, or cannot be told from another.
    """
    # Lists, not Series: an element of a Series of texts costs more than all that is done with it here.
    texts = paths.to_list()
    lines = dict(zip(reversed(texts), reversed(paths.index), strict=True))
    named = _clean({text: lines[text] for text in texts}, folder, source)
    wanted = list(dict.fromkeys(named.values()))
    exact = {file.path: file for file in files}
    lower = {file.path.lower(): file for file in files}

    found = {path: (path, *_facts(path)) for path in wanted if outside and _ABSOLUTE.match(path)}
    own, elsewhere = _literal([path for path in wanted if path not in found], folder, files, source)
    moves = _moves([path for path in wanted if path not in found and path not in elsewhere], lower, source)
    found |= own
    for path in wanted:
        if path in found:
            continue
        if path in elsewhere:
            if outside:
                found[path] = (elsewhere[path], *_facts(elsewhere[path]))
            continue
        place = next((new + path[len(old) :] for old, new in moves if _begins(path, old)), None)
        if place is not None:
            file = exact.get(place) or lower.get(place.lower())
            found[path] = tuple(file) if file else (place, 0, 0)
        elif outside:
            place = posixpath.normpath(posixpath.join(source.absolute().parent.as_posix(), path))
            found[path] = (place, *_facts(place))
    strangers = [text for text, path in named.items() if path not in found]
    if strangers:
        raise ProfilingError(
            f"{source}, line {lines[strangers[0]]}: {strangers[0]} is not below {folder} ({len(strangers)} such "
            "files); copy the images there, point the plate's images at them, or allow such files by images.outside"
        )
    _refuse_one_for_two(found, source)
    rows = [found[named[text]] for text in texts]
    return pd.DataFrame(rows, index=paths.index, columns=["Path", "FileSize", "Modified"]).astype({"Path": "str"})


def _literal(paths, folder, files, source):
    """What paths out of the folder stand for as they are written, seen from the list.

    Returns
    -------
    own : dict
        Path → its row of :func:`locate`, where it is a file of the listing after all (through a link, or by a detour).
    elsewhere : dict
        Path → absolute path, of files that lie elsewhere, and of absent ones beside them.
    """
    start = source.absolute().parent.as_posix()
    places = {
        path: posixpath.normpath(posixpath.join(start, path))
        for path in paths
        if _ABSOLUTE.match(path) or path.startswith("../")
    }
    # One look at a folder that is not there, not one for each of its files.
    there = {head: os.path.isdir(head) for head in {posixpath.dirname(place) for place in places.values()}}
    facts = {
        path: identity
        for path, place in places.items()
        if there[posixpath.dirname(place)] and (identity := _identity(place))
    }
    if not facts:
        return {}, {}
    names = {_name(path) for path in facts}
    listed = {_identity(folder / file.path): file for file in files if _name(file.path) in names}
    own = {path: tuple(listed[identity]) for path, identity in facts.items() if identity in listed}
    heads = {posixpath.dirname(places[path]) for path in facts if path not in own}
    return own, {path: place for path, place in places.items() if path not in own and posixpath.dirname(place) in heads}


def _identity(path):
    """Device, inode and name of a file, the same through every link to its folder; None where it is absent."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return None
    return facts.st_dev, facts.st_ino, _name(str(path))


def _clean(lines, folder, source):
    """Text → path with forward slashes and without detours, below the folder if it is, of paths and their lines."""
    bases = {f"{path.as_posix().rstrip('/')}/" for path in (folder.absolute(), folder.resolve())}
    heads, named = {}, {}
    for text, line in lines.items():
        head, slash, name = text.replace("\\", "/").rpartition("/")
        if head + slash not in heads:
            heads[head + slash] = _clean_folder(head + slash, bases, f"{source}, line {line}: {text}")
        place, is_url = heads[head + slash]
        name = unquote(name) if is_url else name
        if name in ("", ".", "..") or "/" in name:
            raise ProfilingError(f"{source}, line {line}: {text} is no file; correct it")
        named[text] = place + name
    return named


def _clean_folder(head, bases, said):
    """A folder, empty or with a slash at its end, and whether it was a URL; ``said`` begins the message."""
    is_url = _SCHEME.match(head)
    if is_url:
        scheme = is_url[1].lower()
        if scheme != "file":
            raise ProfilingError(
                f"{said} is on the network ({scheme}:); copy or mount the images, and name them by their paths"
            )
        # file:/a, file:///a, file:///C:/a and file://server/a
        head = re.sub(r"^///", "/", unquote(is_url[2]))
        head = head[1:] if re.match(r"/[A-Za-z]:/", head) else head
    if not head:
        return "", False
    path = posixpath.normpath(head)
    path = "" if path == "." else path.rstrip("/") + "/"
    return next((path[len(base) :] for base in bases if path.startswith(base)), path), bool(is_url)


def _begins(path, start):
    """Whether a path lies below a beginning; the empty one is that of relative paths which do not leave the folder."""
    if start:
        return path.startswith(start)
    return not _ABSOLUTE.match(path) and not path.startswith("../")


def _moves(paths, lower, source):
    """Beginnings of paths and what to put there instead, until no other path has the name of a file."""
    moves, by_name = [], None
    if any(path.lower() in lower for path in paths):
        moves.append(("", ""))
    rest = [path for path in paths if not any(_begins(path, old) for old, _ in moves)]
    while rest:
        if by_name is None:
            by_name = defaultdict(list)
            for file in lower.values():
                by_name[_name(file.path)].append(file.path)
        move = _best_move(rest, by_name, lower, source)
        if move is None:
            return moves
        moves.append(move)
        rest = [path for path in rest if not _begins(path, move[0])]
    return moves


def _best_move(paths, by_name, lower, source):
    """The beginning, and its replacement, that give the most paths a file; None if no path has a file's name."""
    sample = paths[:: len(paths) // SAMPLE + 1]
    # All of them only if the sample has none: a few files may be there of many that are not.
    with_name = [path for path in sample if _name(path) in by_name] or [
        path for path in paths if _name(path) in by_name
    ]
    if not with_name:
        return None
    probes = with_name[:: len(with_name) // PROBES + 1]
    moves = {move for path in probes for move in _likely_moves(path, by_name[_name(path)])}

    def score(move):
        old, new = move
        found = sum(_begins(path, old) and (new + path[len(old) :]).lower() in lower for path in with_name)
        return found, -len(old)

    scores = {move: score(move) for move in moves}
    best = min(move for move in moves if scores[move] == max(scores.values()))
    rivals = [new for (old, new), value in scores.items() if old == best[0] and value == scores[best]]
    if len(rivals) > 1:
        places = " and in ".join(repr(new or "./") for new in sorted(rivals)[:2])
        raise ProfilingError(
            f"{source}: {probes[0]} can be in {places} of the plate's folder; point the plate's images at one of them"
        )
    return best


def _likely_moves(path, there):
    """What a path begins with and what to put there instead, for those files that share the longest end with it."""
    ours = path.split("/")
    theirs = [other.split("/") for other in there]
    same = [_same_end(ours, other) for other in theirs]
    longest = max(same)
    likely = [other for other, length in zip(theirs, same, strict=True) if length == longest][:RIVALS]
    return [tuple("".join(f"{part}/" for part in parts[:-longest]) for parts in (ours, other)) for other in likely]


def _same_end(ours, theirs):
    pairs = zip(reversed(ours), reversed(theirs), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0].lower() == pair[1].lower(), pairs))


def _name(path):
    return path.rpartition("/")[2].lower()


def _facts(path):
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return 0, 0
    return facts.st_size, int(facts.st_mtime)


def _refuse_one_for_two(found, source):
    """Two files of a list that become one are not both there: the pixels of one would stand for the other."""
    owners = {}
    for path, (place, *_) in found.items():
        if place in owners:
            raise ProfilingError(
                f"{source}: {owners[place]} and {path} would both be {place} of the plate's folder; correct the list"
            )
        owners[place] = path
