"""Instants and durations, as every part of ours writes them: see `protocols.instant`."""

from protocols.instant import MAX_NS as MAX_NS
from protocols.instant import SECOND as SECOND
from protocols.instant import from_millis as from_millis
from protocols.instant import go_duration as go_duration
from protocols.instant import parse_duration as parse_duration
from protocols.instant import parse_rfc3339 as parse_rfc3339
from protocols.instant import rfc3339 as rfc3339
from protocols.instant import rfc3339_or_none as rfc3339_or_none
