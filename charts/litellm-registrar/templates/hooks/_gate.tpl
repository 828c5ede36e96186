{{/* Not empty if an entry of a webhook configuration has failurePolicy Fail. */}}
{{- define "litellm-registrar.gated" -}}
{{- $unlabelled := and .Values.policy.enabled (eq .Values.admission.unlabelledFailurePolicy "Fail") -}}
{{- $pods := has "Fail" (list .Values.admission.mutateFailurePolicy (include "litellm-registrar.validateFailurePolicy" .)) -}}
{{- if and .Values.admission.enabled (or $pods $unlabelled) -}}yes{{- end -}}
{{- end -}}

{{/* The entry by which the webhook sees whether the API server reaches it, before what has failurePolicy Fail is in force:
     it makes such a Lease as a dry run, which this refuses. Nobody else's Lease has that label. */}}
{{- define "litellm-registrar.gate.entry" -}}
- name: selftest.litellm-registrar.io
  {{- include "litellm-registrar.entry" (dict "root" . "path" "/selftest") | nindent 2 }}
  failurePolicy: Ignore
  rules:
    - apiGroups: [coordination.k8s.io]
      apiVersions: [v1]
      resources: [leases]
      operations: [CREATE]
      scope: Namespaced
  namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ .Release.Namespace }}
  objectSelector:
    matchExpressions:
      - key: litellm-registrar.io/selftest
        operator: Exists
{{- end -}}
