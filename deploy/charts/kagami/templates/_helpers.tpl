{{- define "kagami.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Release and chart in one; only once if the release is named after the chart. Short, since suffixes follow. */}}
{{- define "kagami.fullname" -}}
{{- $name := include "kagami.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "kagami.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "kagami.selectorLabels" -}}
app.kubernetes.io/name: {{ include "kagami.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "kagami.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "kagami.selectorLabels" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Call with a dict: root, name, and optionally component and annotations (a list of maps). */}}
{{- define "kagami.metadata" -}}
name: {{ .name }}
namespace: {{ include "kagami.namespace" .root }}
labels:
  {{- with .component }}
  app.kubernetes.io/component: {{ . }}
  {{- end }}
  {{- include "kagami.labels" .root | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "kagami.serviceAccountName" -}}
{{- default (include "kagami.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "kagami.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* The values under kagami; those under spegel win, so that Spegel's values files work. Read with fromYaml. */}}
{{- define "kagami.settings" -}}
{{- mergeOverwrite (deepCopy .Values.kagami) .Values.spegel | toYaml -}}
{{- end -}}

{{/* "true" if the service brings a node's traffic to the node's own mirror; empty if a host port has to. */}}
{{- define "kagami.prefersSameNode" -}}
{{- $wanted := .Values.service.registry.usePreferSameNodeTrafficDistribution -}}
{{- if kindIs "invalid" $wanted -}}
{{- $wanted = semverCompare ">=1.34-0" .Capabilities.KubeVersion.Version -}}
{{- end -}}
{{- /* Credentials for private images are for the node's own mirror alone. */}}
{{- if and $wanted (not (include "kagami.settings" . | fromYaml).privateRegistries) }}true{{ end -}}
{{- end -}}

{{/* What keeps a pod on the nodes that have a mirror. */}}
{{- define "kagami.placement" -}}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What all pods have in common. */}}
{{- define "kagami.podDefaults" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
# Variables of other services would only be in the way of ours.
enableServiceLinks: false
{{- end -}}

{{/* "true" if content travels between mirrors over TLS alone; empty if not. */}}
{{- define "kagami.requiresTls" -}}
{{- $kagami := include "kagami.settings" . | fromYaml -}}
{{- if or .Values.clusterSecretName (eq $kagami.peerTls "required") }}true{{ end -}}
{{- end -}}
