"""Variables of commands, and settings that begin alike."""

from control.config.settings import Settings as PlaneSettings
from protocols.settings.client_environment import CLIENT_VARIABLES, CONTROL_PREFIX
from vault.config.load import PREFIX
from vault.config.settings import Settings as AgentSettings


def test_no_setting_has_the_name_of_what_is_for_commands() -> None:
    """It could not be set by the environment any more."""
    for prefix, shape in ((CONTROL_PREFIX, PlaneSettings), (PREFIX, AgentSettings)):
        settings = {prefix + name.upper() for name in shape.model_fields}
        assert not settings & CLIENT_VARIABLES
