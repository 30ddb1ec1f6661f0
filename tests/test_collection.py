"""Every process that collects the tests names them alike; else the workers of one run refuse to begin."""

import gzip

import pytest


@pytest.mark.parametrize("packed", [gzip.compress(b"idx", mtime=1)])
def test_a_parameter_of_bytes_is_named_by_its_number(packed, request):
    assert request.node.callspec.id == f"{len(packed)} bytes"
