{{- define "stowage.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "stowage.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "stowage.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "stowage.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "stowage.selectorLabels" -}}
app.kubernetes.io/name: {{ include "stowage.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "stowage.labels" -}}
{{ include "stowage.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "stowage.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "stowage.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The secret with the htpasswd file; empty without one. */}}
{{- define "stowage.htpasswdSecret" -}}
{{- if .Values.htpasswdExistingSecret -}}
{{- .Values.htpasswdExistingSecret -}}
{{- else if .Values.secrets.htpasswd -}}
{{- printf "%s-secret" (include "stowage.fullname" .) -}}
{{- end -}}
{{- end -}}

{{/* What cannot be installed is said, rather than installed as something else. */}}
{{- define "stowage.checks" -}}
{{- if ne .Values.storage "filesystem" -}}
{{- fail (printf "storage: %s is not supported yet, only filesystem" .Values.storage) -}}
{{- end -}}
{{- if gt (int .Values.replicaCount) 1 -}}
{{- fail "replicaCount: several replicas cannot share a data folder: set it to 1, and the setting workers in configData for more processes" -}}
{{- end -}}
{{- if (.Values.proxy | default dict).enabled -}}
{{- fail "proxy.enabled: the proxy cache is not supported yet" -}}
{{- end -}}
{{- if (.Values.autoscaling | default dict).enabled -}}
{{- fail "autoscaling.enabled: several replicas cannot share a data folder" -}}
{{- end -}}
{{- end -}}
