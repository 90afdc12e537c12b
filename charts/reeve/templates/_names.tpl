{{- define "reeve.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "reeve.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "reeve.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "reeve.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "reeve.serviceAccount" -}}
{{- default (include "reeve.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- /* How the API server names the operator. */ -}}
{{- define "reeve.username" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "reeve.serviceAccount" . }}
{{- end -}}

{{- /* Who deletes for Kubernetes itself: what has lost its owner, and what is in a namespace that goes away. */ -}}
{{- define "reeve.janitors" -}}
['system:serviceaccount:kube-system:generic-garbage-collector', 'system:serviceaccount:kube-system:namespace-controller']
{{- end -}}

{{- /* The admission policies, by what comes after the release's full name; each has a binding of its own name. */ -}}
{{- define "reeve.validatingPolicies" -}}
[requester, goal-runs, status, secret-refs, approvals, budgets, killswitches]
{{- end -}}

{{- define "reeve.mutatingPolicies" -}}
[requester, approval-decision]
{{- end -}}

{{- define "reeve.signingKey" -}}
{{- default (printf "%s-journal-key" (include "reeve.fullname" .)) .Values.journal.signingKey.existingSecret -}}
{{- end -}}

{{- /* Whether the journal and the artifacts are both elsewhere than on the operator's volume. */ -}}
{{- define "reeve.keepsNothing" -}}
{{- and (ne .Values.database.secretName "") (ne .Values.artifacts.s3.bucket "") -}}
{{- end -}}

{{- define "reeve.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{- define "reeve.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "reeve.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: reeve
{{- end -}}

{{- define "reeve.selector" -}}
app.kubernetes.io/name: {{ include "reeve.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- /* The restricted Pod Security Standard, and a user of our own. */ -}}
{{- define "reeve.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "reeve.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* Namespaces whose requests are judged: those to work in and the operator's own. Empty where it works in all. */ -}}
{{- define "reeve.judgedNamespaces" -}}
{{- if .Values.watchNamespaces -}}
{{- append .Values.watchNamespaces .Release.Namespace | uniq | sortAlpha | toJson -}}
{{- else -}}
[]
{{- end -}}
{{- end -}}

{{- /* An operator that works in some namespaces judges only there, so that two releases do not judge each other's. */ -}}
{{- define "reeve.matchResources" -}}
{{- with include "reeve.judgedNamespaces" . | fromJsonArray -}}
matchResources:
  namespaceSelector:
    matchExpressions:
    - {key: kubernetes.io/metadata.name, operator: In, values: {{ toJson . }}}
{{- end -}}
{{- end -}}

{{- /* What kubectl reeve must be told where the release is not `reeve` in `reeve-system`. */ -}}
{{- define "reeve.pluginFlags" -}}
{{- if ne .Release.Namespace "reeve-system" }} --reeve-namespace {{ .Release.Namespace }}{{ end -}}
{{- if ne .Release.Name "reeve" }} --reeve-release {{ .Release.Name }}{{ end -}}
{{- end -}}
