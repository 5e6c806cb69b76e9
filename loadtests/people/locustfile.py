"""What Locust loads: every kind of user, the shape, and who looks for failures."""

from loadtests.people.failures import watch
from loadtests.people.http2 import Http2Application
from loadtests.people.shapes import Shape
from loadtests.people.users import Administrator, Application, Job

__all__ = ["Administrator", "Application", "Http2Application", "Job", "Shape", "watch"]
