"""What Locust loads: every kind of user, the shape, and who remembers failures."""

from locust import events

from loadtests.people.failures import remember
from loadtests.people.http2 import Http2Application
from loadtests.people.shapes import Shape
from loadtests.people.users import Administrator, Application, Job

__all__ = ["Administrator", "Application", "Http2Application", "Job", "Shape"]

events.request.add_listener(remember)
