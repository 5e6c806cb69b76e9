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

{{/* operator.yaml: what the chart sets, and the values' settings over it. */}}
{{- define "operator.settings" -}}
{{- mergeOverwrite (fromYaml (include "operator.ownSettings" .)) (deepCopy .Values.settings) | toYaml -}}
{{- end -}}

{{- define "operator.ownSettings" -}}
server:
  listen: "0.0.0.0:8400"
kubernetes:
  namespaces: {{ toJson .Values.namespaces }}
kinds:
  {{- toYaml .Values.resources | nindent 2 }}
leader_election:
  name: {{ include "freehold.fullname" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
{{- end -}}

{{/* Rights in the namespaces that are looked after; what is not used is not there. */}}
{{- define "operator.rules" -}}
{{- $kinds := .Values.resources -}}
{{- if $kinds.agents }}
- apiGroups: [freehold.dev]
  resources: [freeholdagents]
  verbs: [list, watch]
- apiGroups: [freehold.dev]
  resources: [freeholdagents/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [create, patch]
# What can be switched off is looked for, and deleted if it is the resource's.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [create, patch, get, delete]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, patch, get, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, patch, get, delete]
{{- end }}
{{- if $kinds.secrets }}
- apiGroups: [freehold.dev]
  resources: [freeholdsecrets]
  verbs: [list, watch]
- apiGroups: [freehold.dev]
  resources: [freeholdsecrets/status]
  verbs: [patch]
# Neither get, list, watch nor patch, which answers with the object: the operator cannot read a Secret.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, update]
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [get, patch]
{{- end }}
{{- if $kinds.policies }}
- apiGroups: [freehold.dev]
  resources: [freeholdpolicies]
  verbs: [list, watch, patch]
- apiGroups: [freehold.dev]
  resources: [freeholdpolicies/status]
  verbs: [patch]
{{- end }}
{{- if or $kinds.secrets $kinds.policies }}
# Logins as the account that a resource names, and the authority of an agent's certificate.
- apiGroups: [""]
  resources: [serviceaccounts/token]
  verbs: [create]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
{{- end }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}
