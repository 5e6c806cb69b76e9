{{/* control.yaml: what the chart sets, and the values' settings over it. */}}
{{- define "control.settings" -}}
{{- mergeOverwrite (fromYaml (include "control.ownSettings" .)) (deepCopy .Values.settings) | toYaml -}}
{{- end -}}

{{- define "control.ownSettings" -}}
{{- $name := printf "%s.%s.svc" (include "freehold.fullname" .) .Release.Namespace -}}
server:
  listen: "0.0.0.0:8300"
  tls:
    cert_file: "/run/freehold/tls/tls.crt"
    key_file: "/run/freehold/tls/tls.key"
link:
  listen: "0.0.0.0:8301"
  hosts: {{- concat .Values.link.hosts (list $name (printf "%s.cluster.local" $name)) | toYaml | nindent 4 }}
  authority: "/var/lib/freehold-control/ca"
database:
  {{- if eq .Values.database.type "sqlite" }}
  url: "sqlite:////var/lib/freehold-control/control.db"
  {{- else }}
  url: "postgresql://"   # FREEHOLD_CONTROL_DATABASE__URL has it
  {{- end }}
keys:
  folder: "/var/lib/freehold-control/keys"
{{- end -}}

{{- define "control.claim" -}}
{{- default (include "freehold.fullname" .) .Values.persistence.existingClaim -}}
{{- end -}}

{{/* What the server and the setup are alike in. */}}
{{- define "control.podStart" -}}
serviceAccountName: {{ include "freehold.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{- include "freehold.podSecurity" . | nindent 2 }}
volumes:
  - name: settings
    configMap: {name: {{ include "freehold.fullname" . }}}
  - name: data
    persistentVolumeClaim: {claimName: {{ include "control.claim" . }}}
  - name: tmp
    emptyDir: {medium: Memory, sizeLimit: 64Mi}
  - name: tls
    secret: {secretName: {{ include "freehold.tlsSecret" . }}, defaultMode: 0440}
  {{- with .Values.credentials.secretName }}
  - name: credentials
    secret: {secretName: {{ . }}, defaultMode: 0440}
  {{- end }}
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "control.containerStart" -}}
image: {{ include "freehold.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext: {{- include "freehold.containerSecurity" . | nindent 2 }}
env:
  - {name: FREEHOLD_CONTROL_CACERT, value: /run/freehold/tls/ca.crt}
  {{- if ne .Values.database.type "sqlite" }}
  - name: FREEHOLD_CONTROL_DATABASE__URL
    valueFrom: {secretKeyRef: {name: {{ .Values.database.urlSecret.name }}, key: {{ .Values.database.urlSecret.key }}}}
  {{- end }}
  {{- if .Values.redis.urlSecret.name }}
  - name: FREEHOLD_CONTROL_REDIS__URL
    valueFrom: {secretKeyRef: {name: {{ .Values.redis.urlSecret.name }}, key: {{ .Values.redis.urlSecret.key }}}}
  {{- end }}
  {{- with .Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
resources: {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  - {name: settings, mountPath: /etc/freehold, readOnly: true}
  - {name: data, mountPath: /var/lib/freehold-control}
  - {name: tmp, mountPath: /tmp}
  - {name: tls, mountPath: /run/freehold/tls, readOnly: true}
  {{- if .Values.credentials.secretName }}
  - {name: credentials, mountPath: /run/freehold/credentials, readOnly: true}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
