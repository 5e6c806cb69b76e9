{{/* vault.yaml: what the chart sets, and the values' settings over it. */}}
{{- define "agent.settings" -}}
{{- mergeOverwrite (fromYaml (include "agent.ownSettings" .)) (deepCopy .Values.settings) | toYaml -}}
{{- end -}}

{{- define "agent.ownSettings" -}}
server:
  listen: "0.0.0.0:8200"
  drain_delay: {{ .Values.drainDelay | quote }}
  tls:
    cert_file: "/run/freehold/tls/tls.crt"
    key_file: "/run/freehold/tls/tls.key"
    {{- if .Values.tls.clientAuthority.secretName }}
    ca_file: "/run/freehold/client-authority/ca.crt"
    client_auth: "optional"
    {{- end }}
storage:
  type: {{ .Values.storage.type | quote }}
  {{- if eq .Values.storage.type "sqlite" }}
  connection_string: "sqlite:////var/lib/freehold/vault.db"
  {{- else }}
  connection_string: {{ printf "%s://%s@%s:%s/%s" .Values.storage.type .Values.storage.user .Values.storage.host (include "agent.databasePort" .) .Values.storage.database | quote }}
  {{- if .Values.storage.passwordSecret.name }}
  password_file: "/run/freehold/database/password"
  {{- end }}
  {{- if .Values.storage.caSecret.name }}
  tls: {ca_file: "/run/freehold/database-authority/ca.crt"}
  {{- end }}
  {{- end }}
encryption:
  {{- if eq (include "agent.keyManagement" .) "file" }}
  key_file: "/var/lib/freehold-key/root.key"
  {{- else }}
  key_management: {{ include "agent.keyManagement" . | quote }}
  {{- end }}
audit:
  log_file: "/var/log/freehold/audit.log"
anchor:
  file: "/var/lib/freehold-anchor/vault.anchor"
control_plane:
  certificate_path: "/var/lib/freehold/uplink/agent.crt"
  private_key_path: "/var/lib/freehold/uplink/agent.key"
  folder: "/var/lib/freehold/uplink"
{{- if .Values.redis.url }}
cache:
  redis:
    url: {{ .Values.redis.url | quote }}
    {{- if .Values.redis.passwordSecret.name }}
    password_file: "/run/freehold/redis/password"
    {{- end }}
    {{- if .Values.redis.caSecret.name }}
    tls: {ca_file: "/run/freehold/redis-authority/ca.crt"}
    {{- end }}
{{- end }}
{{- end -}}

{{- define "agent.keyManagement" -}}
{{- dig "encryption" "key_management" "shamir" .Values.settings -}}
{{- end -}}

{{- define "agent.databasePort" -}}
{{- if .Values.storage.port -}}
{{- .Values.storage.port | int -}}
{{- else -}}
{{- eq .Values.storage.type "postgresql" | ternary 5432 3306 -}}
{{- end -}}
{{- end -}}

{{/* Ports outside that the settings need, one a line, each once. */}}
{{- define "agent.egressPorts" -}}
{{- $settings := fromYaml (include "agent.settings" .) -}}
{{- $ports := list -}}
{{- if ne .Values.storage.type "sqlite" -}}
{{- $ports = append $ports (include "agent.databasePort" .) -}}
{{- end -}}
{{- with .Values.redis.url -}}
{{- $ports = append $ports (include "freehold.port" (list . "6379")) -}}
{{- end -}}
{{- if eq (include "agent.keyManagement" .) "cloud_kms" -}}
{{- with dig "encryption" "cloud_kms" "transit" "address" "" $settings -}}
{{- $ports = append $ports (include "freehold.port" (list . "443")) -}}
{{- else -}}
{{- $ports = append $ports "443" -}}
{{- end -}}
{{- end -}}
{{- range dig "backup" "destinations" (list) $settings -}}
{{- if eq .type "sftp" -}}
{{- $ports = append $ports (get . "port" | default 22 | toString) -}}
{{- else if ne .type "local" -}}
{{- $ports = append $ports (include "freehold.port" (list (get . "endpoint" | default "") "443")) -}}
{{- end -}}
{{- end -}}
{{- if dig "control_plane" "enabled" false $settings -}}
{{- range concat (list (dig "control_plane" "endpoint" "" $settings)) (dig "control_plane" "endpoints" (list) $settings) -}}
{{- if . -}}{{- $ports = append $ports (include "freehold.port" (list . "443")) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- range list "remote_write" "otlp" -}}
{{- with dig "monitoring" "telemetry" . "url" "" $settings -}}
{{- $ports = append $ports (include "freehold.port" (list . "443")) -}}
{{- end -}}
{{- end -}}
{{- $ports | uniq | join "\n" -}}
{{- end -}}

{{/* Secrets that are folders of files: name of the volume, Secret, its keys and the file (none: all keys). */}}
{{- define "agent.secretVolumes" -}}
{{- $found := list (dict "name" "tls" "secret" (include "freehold.tlsSecret" .) "key" "" "file" "") -}}
{{- with .Values.tls.clientAuthority }}{{- if .secretName }}
{{- $found = append $found (dict "name" "client-authority" "secret" .secretName "key" .key "file" "ca.crt") -}}
{{- end }}{{- end }}
{{- if ne .Values.storage.type "sqlite" -}}
{{- with .Values.storage.passwordSecret }}{{- if .name }}
{{- $found = append $found (dict "name" "database" "secret" .name "key" .key "file" "password") -}}
{{- end }}{{- end }}
{{- with .Values.storage.caSecret }}{{- if .name }}
{{- $found = append $found (dict "name" "database-authority" "secret" .name "key" .key "file" "ca.crt") -}}
{{- end }}{{- end }}
{{- end -}}
{{- if .Values.redis.url -}}
{{- with .Values.redis.passwordSecret }}{{- if .name }}
{{- $found = append $found (dict "name" "redis" "secret" .name "key" .key "file" "password") -}}
{{- end }}{{- end }}
{{- with .Values.redis.caSecret }}{{- if .name }}
{{- $found = append $found (dict "name" "redis-authority" "secret" .name "key" .key "file" "ca.crt") -}}
{{- end }}{{- end }}
{{- end -}}
{{- with .Values.credentials.secretName }}
{{- $found = append $found (dict "name" "credentials" "secret" . "key" "" "file" "") -}}
{{- end }}
{{- toYaml (dict "volumes" $found) -}}
{{- end -}}
