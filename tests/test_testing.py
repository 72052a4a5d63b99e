"""The double that users write their own tests against."""

from symbl_aio import Config, Limits, Text
from symbl_aio.testing import LocalSymbl, Settings


async def test_a_client_of_the_double_takes_every_setting_but_the_address():
    config = {name: kind for name, kind in Config.__annotations__.items() if name != "base_url"}

    assert list(Settings.__annotations__) == list(config)
    for name, kind in Settings.__annotations__.items():
        assert kind.__forward_arg__.removeprefix("symbl_aio.") == config[name]


async def test_a_client_of_the_double_has_its_credentials():
    async with (
        LocalSymbl(app_id="ours", app_secret="whispered") as server,
        server.client(limits=Limits(jobs=1)) as symbl,
    ):
        await symbl.process(Text("Hello."))

    assert "whispered" not in repr(server)
