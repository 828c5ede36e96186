{{/* What the webhook may do in its namespace, by the values that need it. */}}
{{- define "litellm-registrar.webhook.role" -}}
{{- $name := include "litellm-registrar.fullname" . -}}
{{- if eq .Values.certificates.source "own" }}
# Its own certificate (--tls-secret), and the Lease of whoever renews it. `create` knows no names.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [{{ $name }}-webhook-tls]
  verbs: [get, watch, update]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ $name }}-webhook-tls]
  verbs: [get, update]
{{- end }}
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
{{- if eq .Values.certificates.source "own" }}
# The caBundle of the webhooks of ours.
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations, validatingwebhookconfigurations]
  resourceNames: [{{ include "litellm-registrar.admission" . }}]
  verbs: [get, watch, patch]
{{- end }}
{{- end -}}
