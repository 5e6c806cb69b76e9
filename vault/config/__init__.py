"""The agent's settings: read once where a process starts, then handed down as a frozen object."""

from vault.config.load import ConfigError, dev_settings, load_settings
from vault.config.settings import Settings

__all__ = ["ConfigError", "Settings", "dev_settings", "load_settings"]
