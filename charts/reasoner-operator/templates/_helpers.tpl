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

{{- /* What the operator may do where it serves custom resources. It reads no Secret and enters no pod. */}}
{{- define "reasoner-operator.rules" -}}
- apiGroups: [reasoner.dev]
  resources: [curationjobs, verifiertrainings, grporuns]
  verbs: [get, list, watch]
- apiGroups: [reasoner.dev]
  resources: [curationjobs/status, verifiertrainings/status, grporuns/status]
  verbs: [patch]
# Children block their owner's deletion: clusters that enforce it ask for the right to set the owner's finalizers.
- apiGroups: [reasoner.dev]
  resources: [curationjobs/finalizers, verifiertrainings/finalizers, grporuns/finalizers]
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [get, list, watch, create, patch, delete]
# What serves a verifier, beside its Deployment and Service.
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, create, patch, delete]
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, list, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end }}
