"""What commands print of the time they took, told from what they found."""

import json


def without_times(result):
    """Read a command's JSON; its times must be there, and are taken out."""
    data = json.loads(result.stdout)
    seconds = data.pop("seconds")
    assert {"loading", "photos"} <= set(seconds)
    assert all(value > 0 for value in seconds.values())
    assert data.pop("photos_per_second") > 0
    return data
