"""The address of the storage: its forms, and what is refused with which words."""

import pytest

from app.domain.storage_address import StorageAddress, read_storage_address

READ = {
    "none": None,
    "local:/srv/clips": StorageAddress("local", "/srv/clips"),
    "s3://clips": StorageAddress("s3", "clips"),
    "s3://clips/": StorageAddress("s3", "clips"),
    "s3://clips/a/b?region=eu-central-1": StorageAddress("s3", "clips", "a/b", region="eu-central-1"),
    "s3://clips/a?endpoint=http://minio:9000/&virtual_host=1&direct=1": StorageAddress(
        "s3", "clips", "a", endpoint="http://minio:9000", virtual_host=True, direct=True
    ),
    "s3://clips?endpoint=https%3A%2F%2Fr2.example.com": StorageAddress(
        "s3", "clips", endpoint="https://r2.example.com"
    ),
    "gs://clips/a?direct=1": StorageAddress("gs", "clips", "a", direct=True),
    "gs://clips?endpoint=https://storage.example.com/": StorageAddress(
        "gs", "clips", endpoint="https://storage.example.com"
    ),
    "az://clips?account=team1": StorageAddress("az", "clips", account="team1"),
    "az://clips?account=team1&endpoint=https://team1.blob.example.com": StorageAddress(
        "az", "clips", account="team1", endpoint="https://team1.blob.example.com"
    ),
}
REFUSED = {
    "": "must be local:DIR",
    "/srv/clips": "must be local:DIR",
    "http://minio/clips": "must be local:DIR",
    "local:": "must name a folder",
    "local:clips": "must name its folder from the root on",
    "local://clips": "must name its folder from the root on",
    "s3://": "must name a bucket by 3 to 63 letters",
    "s3://b": "must name a bucket by 3 to 63 letters",
    "az://bb/prefix": "must name a bucket by 3 to 63 letters",
    "s3://key:secret@clips": "must name a bucket",
    "s3://clips/../other": "plain names",
    "s3://clips/./a": "plain names",
    "s3://clips/%2e%2e/a": "plain names",
    "s3://clips/a b": "plain names",
    "s3://clips?secret=x": "it has endpoint",
    "gs://clips?endpoint=https://storage.example.com&direct=1": "signed for its usual host",
    "gs://clips?region=europe": "it has endpoint, direct",
    "az://clips?virtual_host=1": "it has account, endpoint, direct",
    "s3://clips?region=a&region=b": "twice",
    "s3://clips?region=a%20b": "letters, digits and dashes",
    "s3://clips?direct=yes": "0 or 1",
    "s3://clips?endpoint=minio:9000": "an endpoint such as",
    "s3://clips?endpoint=https://k:s@minio": "an endpoint such as",
    "s3://clips?endpoint=https://minio:0": "an endpoint such as",
    "s3://clips#x": "must be local:DIR",
}


@pytest.mark.parametrize(("text", "address"), READ.items(), ids=READ)
def test_an_address_is_read(text: str, address: StorageAddress | None) -> None:
    """Each form gives its parts."""
    assert read_storage_address(text) == address


@pytest.mark.parametrize(("text", "words"), REFUSED.items(), ids=REFUSED)
def test_an_address_is_refused(text: str, words: str) -> None:
    """The sentence says what is wrong, and repeats nothing of it: a secret may be in it."""
    with pytest.raises(ValueError, match=words) as refused:
        read_storage_address(text)
    assert "key:secret" not in str(refused.value)
