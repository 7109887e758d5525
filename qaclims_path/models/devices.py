"""Where networks compute, by name."""

import torch

from qaclims_path.errors import UsageError


def device_of(name: str) -> torch.device:
    """The device of a name; `auto` is the accelerator where there is one.

    Example:
        >>> device_of("cpu")
        device(type='cpu')
    """
    if name == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        return found if found is not None else torch.device("cpu")
    try:
        chosen = torch.device(name)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            f"The device '{name}' cannot be used here. Pass cpu or auto, or see `qaclims doctor`."
        ) from error
    return chosen
