import os

import pytest
import torch


@pytest.fixture(autouse=True)
def same_random_numbers_each_time():
    torch.manual_seed(0)


@pytest.fixture
def real_images():
    """Folder with real images; a test that wants it is skipped where there is none."""
    folder = os.environ.get("VITSCOPE_DATA")
    if not folder:
        pytest.skip("VITSCOPE_DATA is not set: no real images here")
    return folder
