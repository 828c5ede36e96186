{{/* Annotations of what Helm makes for a moment only; takes `on` (the event) and `weight`. Helm from 3.18 on prints what a Job
     or Pod has said; an older one does not know that annotation. */}}
{{- define "litellm-registrar.hook.annotations" -}}
helm.sh/hook: {{ .on }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
helm.sh/hook-output-log-policy: hook-succeeded,hook-failed
{{- end -}}

{{/* Name, labels and annotations of such an object; takes `root`, `name` (what follows the release's), `on`, `weight`, and
     `namespace` where it has one. */}}
{{- define "litellm-registrar.hook.metadata" -}}
name: {{ include "litellm-registrar.fullname" .root }}-{{ .name }}
{{- with .namespace }}
namespace: {{ . }}
{{- end }}
labels:
  {{- include "litellm-registrar.labels" (dict "root" .root "component" .name) | nindent 2 }}
annotations:
  {{- include "litellm-registrar.hook.annotations" . | nindent 2 }}
{{- end -}}

{{/* A ServiceAccount for such a Job or Pod, and what it may do: `rules` in `within` (default: the release's namespace),
     `clusterRules` everywhere. */}}
{{- define "litellm-registrar.hook.rights" -}}
{{- $name := printf "%s-%s" (include "litellm-registrar.fullname" .root) .name }}
{{- $release := .root.Release.Namespace }}
{{- $within := .within | default $release }}
{{- $part := dict "root" .root "name" .name "on" .on "weight" -1 }}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "litellm-registrar.hook.metadata" (merge (dict "namespace" $release) $part) | nindent 2 }}
{{- if .rules }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "litellm-registrar.hook.metadata" (merge (dict "namespace" $within) $part) | nindent 2 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "litellm-registrar.hook.metadata" (merge (dict "namespace" $within) $part) | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ $name }}}
subjects:
  - {kind: ServiceAccount, name: {{ $name }}, namespace: {{ $release }}}
{{- end }}
{{- if .clusterRules }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  {{- include "litellm-registrar.hook.metadata" $part | nindent 2 }}
rules:
  {{- .clusterRules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  {{- include "litellm-registrar.hook.metadata" $part | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ $name }}}
subjects:
  - {kind: ServiceAccount, name: {{ $name }}, namespace: {{ $release }}}
{{- end }}
{{- end -}}

{{/* What pods of hooks have in common: they run where webhook and broker do, once. Takes `root` and `name`. */}}
{{- define "litellm-registrar.hook.pod" -}}
restartPolicy: Never
enableServiceLinks: false
securityContext:
  {{- include "litellm-registrar.podSecurityContext" .root | nindent 2 }}
{{- with .root.Values.webhook.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.webhook.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The container of one that runs a command of ours; its arguments follow. Takes `root`. */}}
{{- define "litellm-registrar.hook.container" -}}
image: {{ include "litellm-registrar.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- include "litellm-registrar.securityContext" .root | nindent 2 }}
resources:
  requests: {cpu: 50m, memory: 96Mi}
  limits: {memory: 192Mi}
command: [python, -m, webhook]
{{- end -}}

{{/* What the pre-delete Job may do. */}}
{{- define "litellm-registrar.uninstall.rules" -}}
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations, validatingwebhookconfigurations]
  resourceNames: [{{ include "litellm-registrar.admission" . }}]
  verbs: [delete]
# How many live on.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- end -}}

{{/* What the post-delete Job may do in the release's namespace; takes `secrets` and `configMaps`. */}}
{{- define "litellm-registrar.clean-up.rules" -}}
# What webhook and broker have made, when their pods are gone.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
- apiGroups: [""]
  resources: [secrets]
  resourceNames: {{ toJson .secrets }}
  verbs: [delete]
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: {{ toJson .configMaps }}
  verbs: [delete]
# Those that claim names of models are called by what they claim.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [list, delete]
{{- end -}}

{{/* And everywhere, where the cluster's id is not set. */}}
{{- define "litellm-registrar.clean-up.clusterRules" -}}
# This cluster's id is its uid.
- apiGroups: [""]
  resources: [namespaces]
  resourceNames: [kube-system]
  verbs: [get]
{{- end -}}

{{/* What the self-test may do in its namespace. */}}
{{- define "litellm-registrar.test.rules" -}}
# A dry run: nothing is made.
- apiGroups: [""]
  resources: [pods]
  verbs: [create]
{{- end -}}
