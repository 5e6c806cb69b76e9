{{- define "freehold.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "freehold.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "freehold.labels" -}}
{{ include "freehold.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: freehold
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "freehold.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "freehold.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "freehold.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "freehold.tlsSecret" -}}
{{- default (printf "%s-tls" (include "freehold.fullname" .)) .Values.tls.secretName -}}
{{- end -}}

{{/* Names of the certificate: how it is called inside the cluster, on its machine, and by others. */}}
{{- define "freehold.tlsNames" -}}
{{- $full := include "freehold.fullname" . -}}
{{- $namespace := .Release.Namespace -}}
{{- $names := list (printf "%s.%s.svc" $full $namespace) (printf "%s.%s" $full $namespace) $full -}}
{{- $names = append $names (printf "%s.%s.svc.cluster.local" $full $namespace) -}}
{{- $names = append $names (printf "*.%s-pods.%s.svc" $full $namespace) -}}
{{- $names = append $names (printf "*.%s-pods.%s.svc.cluster.local" $full $namespace) -}}
{{- $names = append $names "localhost" -}}
{{- toYaml (concat $names .Values.tls.names) -}}
{{- end -}}

{{- define "freehold.tlsAddresses" -}}
{{- toYaml (concat (list "127.0.0.1" "::1") .Values.tls.addresses) -}}
{{- end -}}

{{/* Port of a URL, or the default of a second argument. */}}
{{- define "freehold.port" -}}
{{- $url := index . 0 -}}
{{- regexFind ":[0-9]+$" (get (urlParse $url) "host") | trimPrefix ":" | default (index . 1) -}}
{{- end -}}

{{- define "freehold.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
# Else each start would let the group write to the database and the keys, which are refused then.
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "freehold.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
privileged: false
capabilities: {drop: ["ALL"]}
{{- end -}}

{{- define "freehold.scheduling" -}}
{{- if .Values.topologySpread.enabled }}
topologySpreadConstraints:
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ $.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels: {{- include "freehold.selector" $ | nindent 8 }}
{{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
