from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from symbl_aio.contrib.form_parser import MAX_BEFORE_FILE, Form, boundary_of
from symbl_aio.contrib.problems import BadUploadError

BOUNDARY = b"----WebKitFormBoundary7MA4YWxkTrZu0gW"


def field(name: str, value: bytes) -> bytes:
    return b'Content-Disposition: form-data; name="%s"\r\n\r\n%s' % (name.encode(), value)


def file(data: bytes, filename: bytes = b'"talk.mp4"') -> bytes:
    head = b'Content-Disposition: form-data; name="file"; filename=%s' % filename
    return head + b"\r\nContent-Type: video/mp4\r\n\r\n" + data


def form(*parts: bytes, boundary: bytes = BOUNDARY, before: bytes = b"", end: bytes = b"\r\n"):
    lines = b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in parts)
    return before + lines + b"--%s--" % boundary + end


def read(body: bytes, *, boundary: bytes = BOUNDARY, step: int | None = None) -> tuple[Form, bytes]:
    """Push a body in, in pieces of ``step`` bytes, and give what came out as the file's."""
    made, found = Form(boundary), b""
    for at in range(0, len(body), step or len(body)):
        made.feed(body[at : at + (step or len(body))])
        if made.at_file:
            found += made.take()
    return made, found


@pytest.mark.parametrize("step", [None, 1, 2, 3, 7, 64])
def test_a_file_comes_out_as_it_went_in_however_it_is_cut(step):
    data = b"\r\n--" + BOUNDARY[:-1] + b"\r\n\r\n-\r\n--\r" + bytes(range(256)) + b"\r\n"
    body = form(field("title", b"Monday"), field("who", "Zoë\r\n".encode()), file(data))

    made, found = read(body, step=step)

    assert found == data
    assert made.size_of_file(len(body)) == len(data)
    assert made.fields == {"title": "Monday", "who": "Zoë\r\n"}
    assert made.filename == "talk.mp4"
    assert made.ended


CHARACTERS = "abcXYZ019'()+_,-./:=?"


@given(
    boundary=st.text(CHARACTERS, min_size=1, max_size=70),
    pieces=st.lists(st.one_of(st.binary(max_size=20), st.sampled_from([b"\r", b"\n", b"--"]))),
    fields=st.dictionaries(st.text("abc", min_size=1), st.binary(max_size=5), max_size=3),
    preamble=st.sampled_from([b"", b"\r\n", b"This is a form.\r\n", b"--\r\n\r\n"]),
    step=st.integers(1, 50),
)
def test_any_form_that_ends_with_its_file_is_read(boundary, pieces, fields, preamble, step):
    mark = boundary.encode()
    # The beginning of the delimiter, to be found again and again where there is none.
    data = (b"\r\n--" + mark[:-1]).join(pieces)
    texts = {name: value.hex() for name, value in fields.items()}
    assume(b"--" + mark not in preamble + data)
    body = form(
        *(field(name, value.encode()) for name, value in texts.items()),
        file(data), boundary=mark, before=preamble,
    )  # fmt: skip

    made, found = read(body, boundary=mark, step=step)

    assert (found, made.size_of_file(len(body))) == (data, len(data))
    assert made.fields == texts
    assert made.ended


@pytest.mark.parametrize(
    "written,name",
    [
        (b'"a b; c=d.mp4"', "a b; c=d.mp4"),
        (b'"say \\"hi\\".mp4"', 'say "hi".mp4'),
        ('"Besprechung März.mp4"'.encode(), "Besprechung März.mp4"),
        (b"plain.mp4", "plain.mp4"),
        (b'""', None),
        ('"März.mp4"'.encode("latin-1"), "März.mp4"),  # curl on Windows
    ],
)
def test_a_filename_is_read_as_it_was_meant(written, name):
    made, _ = read(form(file(b"x", written)))

    assert made.filename == name


@pytest.mark.parametrize(
    "written,name",
    [
        (b"filename*=UTF-8''M%C3%A4rz.mp4", "März.mp4"),
        (b"FileName* = iso-8859-1'de'M%E4rz.mp4", "März.mp4"),
        (b"filename*=UTF-8''%ff.mp4", "\ufffd.mp4"),
        (b"filename*=no-such-charset''M%C3%A4rz.mp4", "März.mp4"),
        (b"filename*=\"UTF-8''a.mp4\"", "a.mp4"),
        (b"filename*=a.mp4", None),
        (b"filename*=UTF-8''other.mp4; filename=plain.mp4", "plain.mp4"),
    ],
)
def test_a_part_whose_filename_is_encoded_is_the_file_too(written, name):
    part = b'Content-Disposition: form-data; name="file"; ' + written + b"\r\n\r\nx"

    made, found = read(form(part))

    assert (made.filename, found) == (name, b"x")


@pytest.mark.parametrize("charset", ["iso-8859-1", "Windows-1252", '"UTF-8"', "ISO-8859-15"])
def test_a_field_is_read_in_the_charset_that_it_names(charset):
    typed = (
        f'Content-Type: text/plain; charset={charset}\r\nContent-Disposition: form-data; name="a"'
    )
    value = "März".encode(charset.strip('"'))

    made, _ = read(form(typed.encode() + b"\r\n\r\n" + value, field("b", b"1"), file(b"x")))

    assert made.fields == {"a": "März", "b": "1"}


@pytest.mark.parametrize("charset", ["punycode", "hex", "no-such", "unicode_escape", "\0", "*"])
def test_a_charset_that_no_form_has_is_refused(charset):
    typed = f'Content-Type: text/plain; charset="{charset}"\r\n'.encode("latin-1")

    with pytest.raises(BadUploadError) as caught:
        read(form(typed + field("a", b"1"), file(b"x")))
    assert caught.value.status == 400


def test_of_several_fields_of_a_name_the_last_counts():
    made, _ = read(form(field("a", b"1"), field("a", b"2"), file(b"x")))

    assert made.fields == {"a": "2"}


@pytest.mark.parametrize("step", [None, 1])
def test_a_part_behind_the_file_is_refused(step):
    with pytest.raises(BadUploadError, match="file last") as caught:
        read(form(file(b"data"), field("late", b"1")), step=step)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"--" + BOUNDARY + b"nonsense",
        b"--" + BOUNDARY + b"\r\nno header\r\n\r\n",
        form(field("name", b"\xff"), file(b"x")),
        form(b"Content-Type: text/plain\r\n\r\nno name", file(b"x")),
        form(b"\r\nno headers at all", file(b"x")),
    ],
)
def test_what_is_no_form_is_refused(body):
    with pytest.raises(BadUploadError) as caught:
        read(body)
    assert caught.value.status == 400


@pytest.mark.parametrize("step", [None, 1000])
@pytest.mark.parametrize(
    "body",
    [
        bytes(MAX_BEFORE_FILE + 1),
        form(field("long", bytes(MAX_BEFORE_FILE)), file(b"x")),
        form(*[field("many", b"")] * 2000, file(b"x")),
    ],
    ids=["preamble", "field", "fields"],
)
def test_too_much_before_the_file_is_refused(body, step):
    with pytest.raises(BadUploadError) as caught:
        read(body, step=step)
    assert caught.value.status == 413


def test_a_form_that_is_longer_than_announced_has_no_size_for_its_file():
    made, _ = read(form(file(b"")))

    with pytest.raises(BadUploadError, match="Content-Length"):
        made.size_of_file(20)


@pytest.mark.parametrize(
    "content_type,boundary",
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('multipart/form-data; charset=utf-8; boundary="a b:c=?"', b"a b:c=?"),
        ("Multipart/Form-Data; BOUNDARY=abc", b"abc"),
        ("video/mp4", None),
        ("application/x-www-form-urlencoded", None),
        ("", None),
    ],
)
def test_the_content_type_tells_whether_it_is_a_form(content_type, boundary):
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "content_type,status",
    [
        ("multipart/form-data", 400),
        ('multipart/form-data; boundary=""', 400),
        ("multipart/form-data; boundary=" + 71 * "x", 400),
        ("multipart/mixed; boundary=abc", 415),
    ],
)
def test_a_form_that_cannot_be_taken_apart_is_refused(content_type, status):
    with pytest.raises(BadUploadError) as caught:
        boundary_of(content_type)
    assert caught.value.status == status
