"""Upload of a model to the hub."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.files.hub import hub_id


def upload(
    save: Callable[[str | Path], None],
    repo: str,
    files: Sequence[str],
    *,
    private: bool,
    message: str,
    endpoint: str | None = None,
) -> str:
    """Upload the files that `save` writes, in one commit; returns the address of the model's page.

    Args:
        save: Writes the model into a folder.
        repo: `owner/name`; created if it does not exist.
        files: Names of the files to upload.
        private: Make a new repository private.
        message: Commit message.
        endpoint: Address of the hub; the client's default if None.
    """
    from huggingface_hub import HfApi, errors, get_token

    name = hub_id(repo)
    client = HfApi(endpoint=endpoint)
    with tempfile.TemporaryDirectory() as folder:
        save(folder)
        try:
            page = client.create_repo(name, private=private, exist_ok=True)
            client.upload_folder(repo_id=name, folder_path=folder, allow_patterns=list(files), commit_message=message)
        except errors.HFValidationError as error:
            raise UsageError(f"'{repo}' is not a name on the hub: {str(error).splitlines()[0]}") from error
        except Exception as error:  # the client passes on errors of its network library
            first = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            advice = (
                "Check that the token may write there, and try again."
                if get_token()
                else "No token was found: put one that may write into HF_TOKEN, or run `hf auth login`."
            )
            raise QaclimsError(f"{name} could not be uploaded: {first}. {advice}") from error
    return str(page)
