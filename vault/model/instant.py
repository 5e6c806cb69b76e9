"""Instants and durations, as every part of ours writes them: see `protocols.instant`."""

from protocols.instant import MAX as MAX
from protocols.instant import SECOND as SECOND
from protocols.instant import go_duration as go_duration
from protocols.instant import of_millis as of_millis
from protocols.instant import parse_duration as parse_duration
from protocols.instant import parse_rfc3339 as parse_rfc3339
from protocols.instant import rfc3339 as rfc3339
from protocols.instant import rfc3339_or_none as rfc3339_or_none
