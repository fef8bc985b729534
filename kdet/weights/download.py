"""Downloads files once. An interrupted download is resumed, and files are checked and kept.

    KDET_HOME/weights/NAME        the file (KDET_HOME is ~/.cache/kdet by default)
    KDET_HOME/weights/NAME.json   its size and SHA-256, written when the file is first complete
    KDET_HOME/weights/NAME.part   the part that is downloaded so far
    KDET_HOME/weights/NAME.lock   locked by the process that downloads

KDET_MIRROR replaces everything before NAME in an address. It may also be a folder.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from kdet.errors import CheckpointError, DownloadError
from kdet.files import cache_dir, file_lock, read_json, sha256_of, write_json
from kdet.weights.addresses import mirrored

CHUNK = 1 << 18
TRIES = 4  # failures in a row that brought no byte
PERMANENT = (400, 401, 403, 404, 405, 410, 451)  # status codes that another try does not change
NETWORK = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError)
FULL = (errno.ENOSPC, errno.EDQUOT)


def download(url: str, mirror=None, check=None, timeout=30.0, pause=1.0) -> Path:
    """A local copy of a published file, which is downloaded at most once.

    A file that the user placed in the folder is accepted. Its SHA-256 is recorded and checked from
    then on.

    Args:
        url: address; its last part is the file name.
        mirror: replaces everything before the file name. It is an address (http, https, file) or
            a folder. Default: KDET_MIRROR.
        check: called with the path of a new file before the file is accepted. It raises
            CheckpointError for a file that is not accepted.
        timeout: seconds without a byte after which a connection is closed.
        pause: seconds before the second try. It is doubled for each further try.
    Returns:
        The path of the complete file, which has the recorded size and SHA-256.
    Raises:
        DownloadError: one line with the address and the path where the file can be placed manually.
        ConfigError: the mirror is neither an address nor a folder.
    """
    name = url.rpartition("/")[2]
    folder = cache_dir() / "weights"
    path, record = folder / name, folder / f"{name}.json"
    url = mirrored(url, mirror or os.environ.get("KDET_MIRROR"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder, name, path):
            if not path.exists():
                part = folder / f"{name}.part"
                _download(url, part, path, timeout, pause)
                _accept(part, record, check, url)
                os.replace(part, path)
            else:
                _accept(path, record, check, url)
    except OSError as error:
        if error.errno in FULL:
            reason = f"no space left for {name}"
        else:
            reason = f"cannot store {name} in this folder: {error}"
        raise DownloadError(f"{folder}: {reason}; set KDET_HOME to another folder") from None
    return path


def recorded_sha256(path) -> str:
    """The SHA-256 of a file that `download` returned. It is read from the record if possible."""
    path = Path(path)
    return read_json(path.with_name(f"{path.name}.json")).get("sha256") or sha256_of(path)


def _alone(folder, name, path):
    """The lock of a file, so that one process downloads and the others wait."""
    # A complete file in a read-only folder, such as a shared cache, needs no lock.
    if path.exists() and not os.access(folder, os.W_OK):
        return contextlib.nullcontext()
    return file_lock(folder / f"{name}.lock", f"another process downloads {name}; waiting")


def _accept(path, record, check, url):
    """Compares a file with its record, or writes the record. A bad new file is removed."""
    content, new = {"size": path.stat().st_size, "sha256": sha256_of(path)}, path.suffix == ".part"
    try:
        if record.exists():
            wanted = read_json(record)
            for key, value in content.items():
                if wanted.get(key) != value:
                    then = "" if new else f"delete it to download it again from {url}, or "
                    raise DownloadError(
                        f"{path}: {key} is {value}, but was {wanted.get(key)} when first "
                        f"downloaded; {then}delete {record.name} if the change is intended"
                    )
            return
        if check:
            check(path)
    except CheckpointError as error:
        if new:
            path.unlink()
            raise DownloadError(f"{url}: the downloaded file was refused: {error}") from None
        raise
    if new or os.access(record.parent, os.W_OK):
        write_json(record, {"url": url, **content})


def _download(url, part, path, timeout, pause):
    """Downloads into `part`. Continues where an earlier try or process stopped."""
    tries, total = 0, None
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            total = _once(url, part, timeout)
            if part.stat().st_size == total or total is None:
                return
            reason = f"cut after {part.stat().st_size} of {total} bytes"
        except urllib.error.HTTPError as error:
            reason = f"{error.code} {error.reason}"
            if error.code == 416:  # the stored part is longer than the file of the server
                part.unlink(missing_ok=True)
            elif error.code in PERMANENT:
                raise DownloadError(_failure(url, reason, path)) from None
        except NETWORK as e:
            reason = str(getattr(e, "reason", e)) or type(e).__name__
        except ValueError as e:  # `url` is not an address
            raise DownloadError(_failure(url, str(e), path)) from None
        after = part.stat().st_size if part.exists() else 0
        # A slow line that breaks often still ends: every try that brought bytes resets the count.
        tries = 0 if after > before else tries + 1
        if tries >= TRIES:
            raise DownloadError(_failure(url, " ".join(reason.split()), path))
        wait = min(pause * 2 ** max(tries - 1, 0), 60)
        print(f"{url}: {reason}; again in {wait:g} s", file=sys.stderr, flush=True)
        time.sleep(wait)


def _failure(url, reason, path):
    return (
        f"cannot download {url}: {reason}; put the file manually at {path}, "
        "or set KDET_MIRROR to a mirror"
    )


def _once(url, part, timeout):
    """Reads from one connection into `part`. Returns the file's size, or None if unknown."""
    note = part.with_suffix(part.suffix + ".json")
    have = part.stat().st_size if part.exists() else 0
    state = read_json(note).get("validator") if have and note.exists() else None
    request = urllib.request.Request(url)
    # If-Range: the server sends the rest only if the file is still the same, else the whole file.
    if have and state:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", state)
    with contextlib.closing(urllib.request.urlopen(request, timeout=timeout)) as answer:
        start, total = 0, answer.headers.get("Content-Length")
        if answer.status == 206:
            match = re.match(r"bytes (\d+)-\d+/(\d+)$", answer.headers.get("Content-Range", ""))
            if not match or int(match[1]) != have:
                part.unlink(missing_ok=True)
                raise http.client.HTTPException("the server sent a range that was not requested")
            start, total = have, match[2]
        total = int(total) if total and total.isdecimal() else None
        write_json(note, {"validator": _validator(answer.headers)})
        _check_room(part, total, start)
        with open(part, "ab" if start else "wb") as file, _bar(part, total, start) as bar:
            while data := _more(answer):
                file.write(data)
                bar.update(len(data))
            file.flush()
            os.fsync(file.fileno())
    if part.stat().st_size == total:
        note.unlink()
    return total


def _more(answer):
    """The next bytes. An OSError here comes from the connection and not from the disk."""
    try:
        return answer.read1(CHUNK)
    except OSError as error:
        raise ConnectionError(str(error) or type(error).__name__) from None


def _validator(headers):
    """A value that changes with the file. A weak ETag (W/) does not assure equal bytes."""
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _check_room(part, total, start):
    # before the first byte: nobody should wait for 500 MB to learn that the disk is full
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - start > free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _bar(part, total, start):
    from tqdm import tqdm

    units = {"unit": "B", "unit_scale": True, "unit_divisor": 1024, "leave": False}
    return tqdm(total=total, initial=start, desc=part.stem, **units)
