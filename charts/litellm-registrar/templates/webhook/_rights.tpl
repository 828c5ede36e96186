{{/* What the webhook may do in its namespace, by the values that need it. */}}
{{- define "litellm-registrar.webhook.role" -}}
{{- $name := include "litellm-registrar.fullname" . -}}
{{- if eq .Values.certificates.source "own" }}
# Its own certificate (--tls-secret), and the Lease of whoever renews it; `create` knows no names.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [{{ $name }}-webhook-tls]
  verbs: [get, watch, update]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ $name }}-webhook-tls]
  verbs: [get, update]
{{- end }}
# The Lease of whoever looks after what lives (--lease).
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ $name }}-webhook]
  verbs: [get, update]
{{- if eq .Values.mode "broker" }}
# The broker's certificates (--broker-ca-configmap), which it writes into pods.
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [{{ $name }}-broker-ca]
  verbs: [get, watch]
{{- end }}
{{- end -}}

{{/* What it may do in the whole cluster. */}}
{{- define "litellm-registrar.webhook.clusterRole" -}}
{{- if or (eq .Values.certificates.source "own") (include "litellm-registrar.gated" .) }}
# The caBundle of the webhooks of ours, and the rules of those with failurePolicy Fail (--gated-configurations).
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations, validatingwebhookconfigurations]
  resourceNames: [{{ include "litellm-registrar.admission" . }}]
  verbs: [get, watch, patch]
{{- end }}
{{- if not .Values.clusterId }}
# This cluster's id is its uid.
- apiGroups: [""]
  resources: [namespaces]
  resourceNames: [kube-system]
  verbs: [get]
{{- end }}
{{- if eq .Values.registrar.injectMode "auto" }}
# Their kubelets' versions.
- apiGroups: [""]
  resources: [nodes]
  verbs: [list, watch]
{{- end }}
# What lives (--lease): pods that were missed or whose registrar does not start; an Event says so.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.policy.enabled }}
# What the policy says of model servers that live, in namespaces that ask for the label too.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list]
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets, replicasets]
  verbs: [list]
- apiGroups: [batch]
  resources: [jobs, cronjobs]
  verbs: [list]
- apiGroups: [leaderworkerset.x-k8s.io]
  resources: [leaderworkersets]
  verbs: [list]
- apiGroups: [serving.kserve.io]
  resources: [inferenceservices]
  verbs: [list]
{{- end }}
{{- end -}}
