"""What Locust loads: every kind of user, the shape, and who remembers failures."""

from locust import events

from loadtests.mixed_load.failures import record_failure
from loadtests.mixed_load.users import Administrator, Application, Http2Application, Job, Shape

__all__ = ["Administrator", "Application", "Http2Application", "Job", "Shape"]

events.request.add_listener(record_failure)
