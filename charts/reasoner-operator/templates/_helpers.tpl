{{- define "reasoner-operator.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "reasoner-operator.fullname" -}}
{{- $name := include "reasoner-operator.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* Name of cluster-scoped objects: releases of one name in two namespaces must not claim the same object. */}}
{{- define "reasoner-operator.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "reasoner-operator.fullname" .) }}
{{- end }}

{{- define "reasoner-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "reasoner-operator.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "reasoner-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "reasoner-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "reasoner-operator.labels" -}}
{{ include "reasoner-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Image reference of {repository, tag, digest}: (list image defaultTag). */}}
{{- define "reasoner-operator.image" -}}
{{- $image := index . 0 }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository ($image.tag | default (index . 1)) }}
{{- end }}
{{- end }}

{{- /* What the operator reads as /etc/reasoner-operator/settings.yaml. */}}
{{- define "reasoner-operator.settings" -}}
images:
  {{- range $name, $image := .Values.workloads.images }}
  {{ $name }}: {{ include "reasoner-operator.image" (list $image $.Chart.AppVersion) }}
  {{- end }}
imagePullPolicy: {{ .Values.workloads.imagePullPolicy }}
profiles: {{- if .Values.profiles }}{{ toYaml .Values.profiles | nindent 2 }}{{ else }} {}{{ end }}
resyncSeconds: {{ .Values.resyncSeconds | toJson }}
progressSeconds: {{ .Values.progressSeconds | toJson }}
{{- end }}

{{- /* Where running pods tell their progress; reasoner_api.task.REPORT_PORT. */}}
{{- define "reasoner-operator.reportPort" -}}
9464
{{- end }}

{{- /* What the operator may do: (list . "namespaced") where it serves custom resources, (list . "scan") at cluster level. */}}
{{- define "reasoner-operator.rules" -}}
{{- index ((index . 0).Files.Get "files/rules.yaml" | fromYaml) (index . 1) | toYaml }}
{{- end }}
