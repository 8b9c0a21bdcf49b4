"""The upload itself, through huggingface_hub, with every refusal in one line that names the fix."""

from __future__ import annotations

import re
from typing import Any

from facial_r1.errors import InputError
from facial_r1.publish.parcel import Parcel

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_ADDRESS = {"model": "https://huggingface.co/", "dataset": "https://huggingface.co/datasets/"}


def check_name(repository: str) -> None:
    """Raises InputError when a name is no `owner/name`."""
    if not _REPOSITORY.fullmatch(repository) or ".." in repository or "--" in repository:
        raise InputError(f"--repo {repository}: give owner/name, with letters, digits, dots, dashes and underscores")


def upload(parcel: Parcel, repository: str, private: bool) -> str:
    """Make the repository where it is not there yet, and upload the files in one commit; returns its address.

    Whoever is logged in by huggingface_hub's own means (`hf auth login`, HF_TOKEN) uploads; no other key is read.

    Raises:
        InputError: Nobody is logged in, the repository may not be written, `private` was asked for and it is public, or the hub
            cannot be reached.
    """
    check_name(repository)
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    api = HfApi(library_name="facial_r1")
    try:
        api.create_repo(repository, repo_type=parcel.kind, private=private or None, exist_ok=True)
        if private and not api.repo_info(repository, repo_type=parcel.kind).private:
            raise InputError(
                f"--private: {repository} is there already and is public, so nothing was uploaded. Make it private in its settings, or choose another name"
            )
        operations = [
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=_content(content)) for name, content in parcel.files.items()
        ]
        api.create_commit(repository, operations, commit_message="Upload with facial_r1", repo_type=parcel.kind)
    except LocalTokenNotFoundError as error:
        raise InputError(_LOGIN) from error
    except HFValidationError as error:
        raise InputError(f"--repo {repository}: {_line(error)}") from error
    except HfHubHTTPError as error:
        raise InputError(_refusal(repository, error)) from error
    except OSError as error:  # no network, a proxy, a disk: the client raises many types, all of them OSError
        raise InputError(
            f"{repository}: the hub cannot be reached ({type(error).__name__}: {_line(error)}); see `facial-r1 doctor`"
        ) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("httpx", "httpcore", "requests", "huggingface_hub"):
            raise
        raise InputError(
            f"{repository}: the hub cannot be reached ({type(error).__name__}: {_line(error)}); see `facial-r1 doctor`"
        ) from error
    return _ADDRESS[parcel.kind] + repository


_LOGIN = "nobody is logged in to the hub: run `hf auth login`, or set HF_TOKEN to a token that may write"


def _refusal(repository: str, error: Any) -> str:
    code = getattr(getattr(error, "response", None), "status_code", None)
    if code == 401:
        return f"{repository}: the hub does not know the token (401): {_LOGIN.partition(': ')[2]}"
    if code == 403:
        return f"{repository}: the token may not write there (403); use one with write access to {repository.partition('/')[0]}, or another --repo"
    if code == 404:
        return f"{repository}: there is no user or organisation {repository.partition('/')[0]} that the token can see (404)"
    return f"{repository}: the hub refused ({code or type(error).__name__}: {_line(error)})"


def _content(content: Any) -> Any:
    return content if isinstance(content, bytes) else str(content)


def _line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]
