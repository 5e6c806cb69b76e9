"""All kinds of rotators that an agent knows: its own, and those of other packages."""

from actors import World
from vault.rotation.rotator import Rotators
from vault.rotation.rotators.databases import register_databases
from vault.rotation.rotators.services import ServiceSettings, register_services


def load_rotators(settings: ServiceSettings, world: World) -> Rotators:
    """To be called before a process reads messages: others' kinds may bring shapes of their own.

    Raises `SetupError` (`webhook_origin`), `ConflictError` (`rotator_exists`), and whatever the
    import of another package raises.
    """
    rotators = Rotators()
    register_databases(rotators)
    register_services(rotators, settings, world)
    rotators.register_entry_points()
    return rotators
