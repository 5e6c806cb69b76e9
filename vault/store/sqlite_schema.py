"""What a SQLite file of ours consists of, exactly, and the check that nothing else is in it.

Whoever can write the file could plant an object that SQLite obeys: a trigger that undoes a delete,
an index that answers a query in the place of its table, a view or a generated column. So the text
of every object is compared with what the migrations make, and not only the names of the columns.
A test holds `OBJECTS` against the migrations.
"""

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from vault.errors import TamperedError

MAX_OBJECTS: Final = 1000  # objects that are read: a file of ours has about 40
_NAMED: Final = 3  # objects that an error names
_LONGEST: Final = 64  # characters of a name in an error


class SchemaObject(NamedTuple):
    """A row of `sqlite_master`; `sql` with its white space normalized, empty for an autoindex."""

    type: str
    name: str
    table: str
    sql: str


_STATEMENTS: Final = """
CREATE TABLE alembic_version(version_num VARCHAR(32)NOT NULL,
  CONSTRAINT alembic_version_pkc PRIMARY KEY(version_num));
CREATE TABLE system(name VARCHAR(512)NOT NULL,value BLOB NOT NULL,
  CONSTRAINT pk_system PRIMARY KEY(name));
CREATE TABLE mounts(path VARCHAR(512)NOT NULL,id VARCHAR(512)NOT NULL,
  accessor VARCHAR(512)NOT NULL,type VARCHAR(512)NOT NULL,version BIGINT NOT NULL,
  description TEXT NOT NULL,max_versions BIGINT NOT NULL,cas_required BOOLEAN NOT NULL,
  delete_version_after BIGINT NOT NULL,created_at BIGINT NOT NULL,mac BLOB NOT NULL,
  default_lease_ttl JSON,max_lease_ttl JSON,
  CONSTRAINT pk_mounts PRIMARY KEY(path));
CREATE TABLE secrets(name VARCHAR(512)NOT NULL,id VARCHAR(512)NOT NULL,
  current_version BIGINT NOT NULL,oldest_version BIGINT NOT NULL,max_versions BIGINT NOT NULL,
  cas_required BOOLEAN NOT NULL,delete_version_after BIGINT NOT NULL,metadata JSON NOT NULL,
  tags JSON NOT NULL,status VARCHAR(512)NOT NULL,created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,created_by VARCHAR(512)NOT NULL,expires_at BIGINT NOT NULL,
  rotation_due BIGINT NOT NULL,rotation_policy JSON,mac BLOB NOT NULL,
  CONSTRAINT pk_secrets PRIMARY KEY(name),CONSTRAINT uq_secrets_id UNIQUE(id));
CREATE INDEX ix_secrets_expires_at ON secrets(expires_at);
CREATE INDEX ix_secrets_rotation_due ON secrets(rotation_due);
CREATE TABLE secret_versions(secret_id VARCHAR(512)NOT NULL,version BIGINT NOT NULL,
  wrapped_dek BLOB NOT NULL,box BLOB NOT NULL,kek_generation BIGINT NOT NULL,
  created_at BIGINT NOT NULL,created_by VARCHAR(512)NOT NULL,deletion_time BIGINT NOT NULL,
  destroyed BOOLEAN NOT NULL,mac BLOB NOT NULL,labels JSON,
  CONSTRAINT pk_secret_versions PRIMARY KEY(secret_id,version),
  CONSTRAINT fk_secret_versions_secret_id FOREIGN KEY(secret_id)REFERENCES secrets(id)
  ON DELETE RESTRICT);
CREATE TABLE secret_access(secret_id VARCHAR(512)NOT NULL,value_reads BIGINT NOT NULL,
  metadata_reads BIGINT NOT NULL,last_value_read BIGINT NOT NULL,
  last_metadata_read BIGINT NOT NULL,
  CONSTRAINT pk_secret_access PRIMARY KEY(secret_id))WITHOUT ROWID;
CREATE TABLE users(id VARCHAR(512)NOT NULL,username VARCHAR(512)NOT NULL,
  name_key VARCHAR(512)NOT NULL,email VARCHAR(512)NOT NULL,roles JSON NOT NULL,
  policies JSON NOT NULL,created_at BIGINT NOT NULL,updated_at BIGINT NOT NULL,
  last_login BIGINT NOT NULL,status VARCHAR(512)NOT NULL,mac BLOB NOT NULL,
  metadata JSON,aliases JSON,member_of JSON,merged_from JSON,
  CONSTRAINT pk_users PRIMARY KEY(id),CONSTRAINT uq_users_name_key UNIQUE(name_key));
CREATE TABLE roles(name VARCHAR(512)NOT NULL,description TEXT NOT NULL,policies JSON NOT NULL,
  created_at BIGINT NOT NULL,updated_at BIGINT NOT NULL,mac BLOB NOT NULL,
  CONSTRAINT pk_roles PRIMARY KEY(name));
CREATE TABLE api_keys(id VARCHAR(512)NOT NULL,user_id VARCHAR(512)NOT NULL,
  name VARCHAR(512)NOT NULL,key_hash BLOB NOT NULL,permissions JSON NOT NULL,
  expires_at BIGINT NOT NULL,created_at BIGINT NOT NULL,created_by VARCHAR(512)NOT NULL,
  status VARCHAR(512)NOT NULL,mac BLOB NOT NULL,CONSTRAINT pk_api_keys PRIMARY KEY(id),
  CONSTRAINT fk_api_keys_user_id FOREIGN KEY(user_id)REFERENCES users(id)ON DELETE RESTRICT);
CREATE INDEX ix_api_keys_user_id ON api_keys(user_id);
CREATE TABLE tokens(id VARCHAR(512)NOT NULL,accessor VARCHAR(512)NOT NULL,
  secret_hash BLOB NOT NULL,parent VARCHAR(512)NOT NULL,display_name VARCHAR(512)NOT NULL,
  user_id VARCHAR(512)NOT NULL,policies JSON NOT NULL,meta JSON NOT NULL,
  path VARCHAR(512)NOT NULL,created_at BIGINT NOT NULL,issued_at BIGINT NOT NULL,
  ttl BIGINT NOT NULL,period BIGINT NOT NULL,explicit_max_ttl BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,renewable BOOLEAN NOT NULL,num_uses BIGINT NOT NULL,
  uses_left BIGINT NOT NULL,mac BLOB NOT NULL,denied_by JSON,mount_id JSON,role JSON,
  renewal JSON,bound_cidrs JSON,certificate JSON,verified_at JSON,max_ttl JSON,
  mfa_at JSON,
  session JSON,
  CONSTRAINT pk_tokens PRIMARY KEY(id),CONSTRAINT uq_tokens_accessor UNIQUE(accessor));
CREATE INDEX ix_tokens_parent ON tokens(parent);
CREATE INDEX ix_tokens_user_id ON tokens(user_id);
CREATE INDEX ix_tokens_expires_at ON tokens(expires_at);
CREATE TABLE policies(name VARCHAR(512)NOT NULL,id VARCHAR(512)NOT NULL,version BIGINT NOT NULL,
  document JSON NOT NULL,created_at BIGINT NOT NULL,updated_at BIGINT NOT NULL,
  created_by VARCHAR(512)NOT NULL,mac BLOB NOT NULL,CONSTRAINT pk_policies PRIMARY KEY(name));
CREATE TABLE credential_usage(credential_id VARCHAR(512)NOT NULL,last_used BIGINT NOT NULL,
  uses BIGINT NOT NULL,
  CONSTRAINT pk_credential_usage PRIMARY KEY(credential_id))WITHOUT ROWID;
CREATE TABLE audit_blocks(log VARCHAR(512)NOT NULL,first BIGINT NOT NULL,last BIGINT NOT NULL,
  prev VARCHAR(512)NOT NULL,segment BIGINT NOT NULL,start BIGINT NOT NULL,began BIGINT NOT NULL,
  ended BIGINT NOT NULL,terms BLOB NOT NULL,CONSTRAINT pk_audit_blocks PRIMARY KEY(log,first));
CREATE TABLE nodes(id VARCHAR(512)NOT NULL,name VARCHAR(512)NOT NULL,
  place TEXT NOT NULL,version VARCHAR(512)NOT NULL,level BIGINT NOT NULL,run VARCHAR(512)NOT NULL,
  started BIGINT NOT NULL,heartbeat BIGINT NOT NULL,checkpoint TEXT NOT NULL,
  anchored BOOLEAN NOT NULL,sealed_at BIGINT NOT NULL,notice JSON,mac BLOB NOT NULL,
  CONSTRAINT pk_nodes PRIMARY KEY(id));
CREATE TABLE changes(seq BIGINT NOT NULL,node VARCHAR(512)NOT NULL,changes BLOB NOT NULL,
  chain BLOB NOT NULL,CONSTRAINT pk_changes PRIMARY KEY(seq));
CREATE TABLE leases(name VARCHAR(512)NOT NULL,holder VARCHAR(512)NOT NULL,epoch BIGINT NOT NULL,
  until BIGINT NOT NULL,acquired BIGINT NOT NULL,mac BLOB NOT NULL,
  CONSTRAINT pk_leases PRIMARY KEY(name));
CREATE TABLE rotations(secret_id VARCHAR(512)NOT NULL,number BIGINT NOT NULL,
  path VARCHAR(512)NOT NULL,state VARCHAR(512)NOT NULL,resume VARCHAR(512)NOT NULL,
  policy JSON NOT NULL,cause VARCHAR(512)NOT NULL,requested_by VARCHAR(512)NOT NULL,
  previous BIGINT NOT NULL,version BIGINT NOT NULL,wrapped_dek BLOB NOT NULL,box BLOB NOT NULL,
  kek_generation BIGINT NOT NULL,fence BIGINT NOT NULL,attempt BIGINT NOT NULL,
  next_at BIGINT NOT NULL,began_at BIGINT NOT NULL,current_at BIGINT NOT NULL,
  ended_at BIGINT NOT NULL,error_code VARCHAR(512)NOT NULL,error TEXT NOT NULL,mac BLOB NOT NULL,
  reads JSON,CONSTRAINT pk_rotations PRIMARY KEY(secret_id,number),
  CONSTRAINT fk_rotations_secret_id FOREIGN KEY(secret_id)REFERENCES secrets(id)
  ON DELETE RESTRICT);
CREATE INDEX ix_rotations_next_at ON rotations(next_at);
CREATE INDEX ix_rotations_state ON rotations(state);
CREATE TABLE rotation_policies(path VARCHAR(512)NOT NULL,policy JSON NOT NULL,
  updated_at BIGINT NOT NULL,updated_by VARCHAR(512)NOT NULL,mac BLOB NOT NULL,
  scheduled_to JSON,CONSTRAINT pk_rotation_policies PRIMARY KEY(path));
CREATE TABLE database_connections(path VARCHAR(512)NOT NULL,kind VARCHAR(512)NOT NULL,
  secret VARCHAR(512)NOT NULL,allowed_roles JSON NOT NULL,options JSON NOT NULL,
  created_at BIGINT NOT NULL,updated_at BIGINT NOT NULL,updated_by VARCHAR(512)NOT NULL,
  mac BLOB NOT NULL,CONSTRAINT pk_database_connections PRIMARY KEY(path));
CREATE TABLE database_roles(path VARCHAR(512)NOT NULL,connection VARCHAR(512)NOT NULL,
  config JSON NOT NULL,default_ttl BIGINT NOT NULL,max_ttl BIGINT NOT NULL,options JSON NOT NULL,
  created_at BIGINT NOT NULL,updated_at BIGINT NOT NULL,updated_by VARCHAR(512)NOT NULL,
  mac BLOB NOT NULL,CONSTRAINT pk_database_roles PRIMARY KEY(path));
CREATE TABLE dynamic_leases(id VARCHAR(512)NOT NULL,state VARCHAR(512)NOT NULL,
  username VARCHAR(512)NOT NULL,kind VARCHAR(512)NOT NULL,connection VARCHAR(512)NOT NULL,
  config JSON NOT NULL,parent VARCHAR(512)NOT NULL,owner VARCHAR(512)NOT NULL,
  owner_name VARCHAR(512)NOT NULL,client VARCHAR(512)NOT NULL,ttl BIGINT NOT NULL,
  issued_at BIGINT NOT NULL,renewed_at BIGINT NOT NULL,expires_at BIGINT NOT NULL,
  max_expires_at BIGINT NOT NULL,next_at BIGINT NOT NULL,attempt BIGINT NOT NULL,
  ended_at BIGINT NOT NULL,reason VARCHAR(512)NOT NULL,error_code VARCHAR(512)NOT NULL,
  error TEXT NOT NULL,mac BLOB NOT NULL,CONSTRAINT pk_dynamic_leases PRIMARY KEY(id));
CREATE INDEX ix_dynamic_leases_connection ON dynamic_leases(connection);
CREATE INDEX ix_dynamic_leases_ended_at ON dynamic_leases(ended_at);
CREATE INDEX ix_dynamic_leases_next_at ON dynamic_leases(next_at);
CREATE INDEX ix_dynamic_leases_parent ON dynamic_leases(parent);
CREATE INDEX ix_dynamic_leases_state ON dynamic_leases(state);
CREATE INDEX ix_dynamic_leases_username ON dynamic_leases(username);
CREATE TABLE lease_clients(client VARCHAR(512)NOT NULL,leases BIGINT NOT NULL,
  issued BIGINT NOT NULL,renewed BIGINT NOT NULL,unrenewed BIGINT NOT NULL,
  issued_at BIGINT NOT NULL,mac BLOB NOT NULL,CONSTRAINT pk_lease_clients PRIMARY KEY(client));
CREATE TABLE secret_consumers(secret_id VARCHAR(512)NOT NULL,consumer VARCHAR(512)NOT NULL,
  identity VARCHAR(512)NOT NULL,name VARCHAR(512)NOT NULL,path VARCHAR(512)NOT NULL,
  version BIGINT NOT NULL,fetched_at BIGINT NOT NULL,compromised_at BIGINT NOT NULL,
  mac BLOB NOT NULL,CONSTRAINT pk_secret_consumers PRIMARY KEY(secret_id,consumer));
CREATE INDEX ix_secret_consumers_identity ON secret_consumers(identity);
CREATE INDEX ix_secret_consumers_fetched_at ON secret_consumers(fetched_at);
CREATE TABLE consumer_recorders(id VARCHAR(512)NOT NULL,flushed_at BIGINT NOT NULL,
  is_open BOOLEAN NOT NULL,lost_at BIGINT NOT NULL,mac BLOB NOT NULL,
  CONSTRAINT pk_consumer_recorders PRIMARY KEY(id));
CREATE TABLE auth_mounts(id VARCHAR(512)NOT NULL,path VARCHAR(512)NOT NULL,
  accessor VARCHAR(512)NOT NULL,type VARCHAR(512)NOT NULL,description TEXT NOT NULL,
  default_lease_ttl BIGINT NOT NULL,max_lease_ttl BIGINT NOT NULL,
  token_type VARCHAR(512)NOT NULL,listing_visibility VARCHAR(512)NOT NULL,
  is_local BOOLEAN NOT NULL,options JSON NOT NULL,tuning JSON NOT NULL,
  created_at BIGINT NOT NULL,updated_at BIGINT NOT NULL,mac BLOB NOT NULL,
  CONSTRAINT pk_auth_mounts PRIMARY KEY(id),CONSTRAINT uq_auth_mounts_path UNIQUE(path));
CREATE TABLE auth_entries(mount_id VARCHAR(512)NOT NULL,kind VARCHAR(512)NOT NULL,
  name VARCHAR(512)NOT NULL,id VARCHAR(512)NOT NULL,document JSON NOT NULL,
  wrapped_dek BLOB NOT NULL,box BLOB NOT NULL,kek_generation BIGINT NOT NULL,
  revision BIGINT NOT NULL,expires_at BIGINT NOT NULL,uses_left BIGINT NOT NULL,
  created_at BIGINT NOT NULL,updated_at BIGINT NOT NULL,mac BLOB NOT NULL,
  CONSTRAINT pk_auth_entries PRIMARY KEY(mount_id,kind,name));
CREATE INDEX ix_auth_entries_expires_at ON auth_entries(expires_at);
CREATE TABLE entity_aliases(alias_key VARCHAR(512)NOT NULL,id VARCHAR(512)NOT NULL,
  entity_id VARCHAR(512)NOT NULL,mount_accessor VARCHAR(512)NOT NULL,
  mount_path VARCHAR(512)NOT NULL,mount_type VARCHAR(512)NOT NULL,name VARCHAR(512)NOT NULL,
  metadata JSON NOT NULL,custom_metadata JSON NOT NULL,roles JSON NOT NULL,
  merged_from JSON NOT NULL,verified_at BIGINT NOT NULL,created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,mac BLOB NOT NULL,
  CONSTRAINT pk_entity_aliases PRIMARY KEY(alias_key),
  CONSTRAINT uq_entity_aliases_id UNIQUE(id));
CREATE INDEX ix_entity_aliases_mount_accessor ON entity_aliases(mount_accessor);
CREATE INDEX ix_entity_aliases_verified_at ON entity_aliases(verified_at);
CREATE TABLE entity_groups(id VARCHAR(512)NOT NULL,name VARCHAR(512)NOT NULL,
  name_key VARCHAR(512)NOT NULL,kind VARCHAR(512)NOT NULL,policies JSON NOT NULL,
  metadata JSON NOT NULL,alias_key VARCHAR(512)NOT NULL,children JSON NOT NULL,
  parents JSON NOT NULL,ancestors JSON NOT NULL,modify_index BIGINT NOT NULL,
  created_at BIGINT NOT NULL,updated_at BIGINT NOT NULL,mac BLOB NOT NULL,
  CONSTRAINT pk_entity_groups PRIMARY KEY(id),
  CONSTRAINT uq_entity_groups_name_key UNIQUE(name_key));
CREATE TABLE group_aliases(alias_key VARCHAR(512)NOT NULL,id VARCHAR(512)NOT NULL,
  group_id VARCHAR(512)NOT NULL,mount_accessor VARCHAR(512)NOT NULL,
  mount_path VARCHAR(512)NOT NULL,mount_type VARCHAR(512)NOT NULL,name VARCHAR(512)NOT NULL,
  created_at BIGINT NOT NULL,updated_at BIGINT NOT NULL,mac BLOB NOT NULL,
  CONSTRAINT pk_group_aliases PRIMARY KEY(alias_key),CONSTRAINT uq_group_aliases_id UNIQUE(id));
CREATE INDEX ix_group_aliases_mount_accessor ON group_aliases(mount_accessor);
CREATE TABLE group_members(group_id VARCHAR(512)NOT NULL,entity_id VARCHAR(512)NOT NULL,
  mac BLOB NOT NULL,
  CONSTRAINT pk_group_members PRIMARY KEY(group_id,entity_id));
CREATE TABLE cubbyhole(token_id VARCHAR(512)NOT NULL,path VARCHAR(512)NOT NULL,
  box BLOB NOT NULL,created_at BIGINT NOT NULL,mac BLOB NOT NULL,
  CONSTRAINT pk_cubbyhole PRIMARY KEY(token_id,path));
CREATE TABLE sessions(token_id VARCHAR(512)NOT NULL,accessor VARCHAR(512)NOT NULL,
  user_id VARCHAR(512)NOT NULL,address VARCHAR(512)NOT NULL,created_at BIGINT NOT NULL,
  active_at BIGINT NOT NULL,idle BIGINT NOT NULL,idle_until BIGINT NOT NULL,mac BLOB NOT NULL,
  CONSTRAINT pk_sessions PRIMARY KEY(token_id));
CREATE INDEX ix_sessions_user_id ON sessions(user_id);
CREATE INDEX ix_sessions_idle_until ON sessions(idle_until);
CREATE TABLE mount_moves(id VARCHAR(512)NOT NULL,mount_id VARCHAR(512)NOT NULL,
  source VARCHAR(512)NOT NULL,target VARCHAR(512)NOT NULL,secrets BIGINT NOT NULL,
  moved_at BIGINT NOT NULL,moved_by VARCHAR(512)NOT NULL,mac BLOB NOT NULL,
  CONSTRAINT pk_mount_moves PRIMARY KEY(id));
CREATE TABLE access_grants(id VARCHAR(512)NOT NULL,subject VARCHAR(512)NOT NULL,
  subject_name VARCHAR(512)NOT NULL,credential VARCHAR(512)NOT NULL,
  capability VARCHAR(512)NOT NULL,path VARCHAR(512)NOT NULL,granter VARCHAR(512)NOT NULL,
  granter_name VARCHAR(512)NOT NULL,authority JSON NOT NULL,
  request_id VARCHAR(512)NOT NULL,granted_at BIGINT NOT NULL,expires_at BIGINT NOT NULL,
  mac BLOB NOT NULL,CONSTRAINT pk_access_grants PRIMARY KEY(id));
"""
_AUTOINDEXES: Final = {  # primary and unique keys of tables with a rowid
    "alembic_version": 1,
    "system": 1,
    "mounts": 1,
    "secrets": 2,
    "secret_versions": 1,
    "users": 2,
    "roles": 1,
    "api_keys": 1,
    "tokens": 2,
    "policies": 1,
    "nodes": 1,
    "audit_blocks": 1,
    "changes": 1,
    "leases": 1,
    "rotations": 1,
    "rotation_policies": 1,
    "database_connections": 1,
    "database_roles": 1,
    "dynamic_leases": 1,
    "lease_clients": 1,
    "secret_consumers": 1,
    "consumer_recorders": 1,
    "auth_mounts": 2,
    "auth_entries": 1,
    "entity_aliases": 2,
    "entity_groups": 2,
    "group_aliases": 2,
    "group_members": 1,
    "cubbyhole": 1,
    "sessions": 1,
    "mount_moves": 1,
    "access_grants": 1,
}
_HEAD: Final = re.compile(r"CREATE (TABLE|INDEX) (\w+)(?: ON (\w+))?\(")
_SPACE: Final = re.compile(r"[ \t\n\f\r]+")
"""What SQLite takes as white space, and no more: to it U+00A0 is a letter of a name or a type."""
_AROUND: Final = re.compile(r" ?([(),]) ?")
_KNOWN: Final = 512  # statements; ours are fewer, and each connection looks at all of them


@lru_cache(_KNOWN)
def normalize_sql(sql: str) -> str:
    """The statement with one space where white space is needed, and none elsewhere.

    Ours have no quotes and are ASCII: so whatever is neither stays in it, and fits none of them.
    """
    return _AROUND.sub(r"\1", _SPACE.sub(" ", sql).strip(" "))


def _described(statement: str) -> SchemaObject:
    sql = normalize_sql(statement)
    head = _HEAD.match(sql)
    if head is None:
        raise AssertionError(f"not a statement of ours: {sql}")
    kind, name, table = head.groups()
    return SchemaObject(kind.lower(), name, table or name, sql)


OBJECTS: Final = frozenset(
    [_described(statement) for statement in _STATEMENTS.split(";") if statement.strip()]
    + [
        SchemaObject("index", f"sqlite_autoindex_{table}_{number}", table, "")
        for table, count in _AUTOINDEXES.items()
        for number in range(1, count + 1)
    ]
)


def read_schema(database: sqlite3.Connection) -> list[SchemaObject]:
    """What is in the file. The connection goes by exactly that from here on.

    To be called within a transaction: then both are of its view. A connection keeps the schema that
    it has parsed for as long as the schema's version number stays, and whoever writes the file can
    see to it that the number does.
    """
    database.execute("PRAGMA writable_schema=RESET")  # forget what was parsed before
    rows = database.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT ?", [MAX_OBJECTS]
    )
    return [
        SchemaObject(_text(kind), _text(name), _text(table), normalize_sql(_text(sql)))
        for kind, name, table, sql in rows
    ]


def check_schema(database: sqlite3.Connection) -> None:
    """Raise `TamperedError` (`storage_schema_changed`) unless the file has our objects alone.

    See `read_schema`. Raises `sqlite3.Error` for a schema that cannot be parsed.
    """
    found = Counter(read_schema(database))
    wanted = Counter(OBJECTS)
    if found == wanted:
        return
    foreign, missing = found - wanted, wanted - found
    both = {one.name for one in foreign} & {one.name for one in missing}
    told = [(one, "changed" if one.name in both else "not ours") for one in foreign]
    told += [(one, "missing") for one in missing if one.name not in both]
    what = _listed(f"{one.type[:_LONGEST]} {one.name[:_LONGEST]!r} is {how}" for one, how in told)
    raise TamperedError(
        "storage_schema_changed",
        f"the schema of the database was changed behind the agent's back: {what}. "
        "Find out who can write the file, then restore a backup; "
        "an object that you added yourself can be dropped with sqlite3",
    )


def _text(cell: object) -> str:
    """The cell of an honest file; anything else is shown as what it is, and fits nothing."""
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else repr(cell)


def _listed(told: Iterable[str]) -> str:
    some = sorted(told)
    more = f", and {len(some) - _NAMED} more" if len(some) > _NAMED else ""
    return ", ".join(some[:_NAMED]) + more
