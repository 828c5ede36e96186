{{/* What all entries begin with; takes `root` and `path`. No caBundle: the webhook writes it, or cert-manager, or you. */}}
{{- define "litellm-registrar.entry" -}}
admissionReviewVersions: [v1]
clientConfig:
  service:
    namespace: {{ .root.Release.Namespace }}
    name: {{ include "litellm-registrar.fullname" .root }}-webhook
    port: 443
    path: {{ .path }}
matchPolicy: Equivalent
sideEffects: None
timeoutSeconds: {{ .root.Values.admission.timeoutSeconds }}
{{- end -}}

{{/* An entry's failurePolicy, and its rules where that is Ignore. An entry with Fail comes without: until a webhook
     has written them in (from the annotation litellm-registrar.io/rules), because it is reached, the entry asks about nothing,
     and an image that cannot be pulled stops no pod. Takes `rules`, the name of their template, and `failurePolicy`. */}}
{{- define "litellm-registrar.rulesUnlessFail" -}}
failurePolicy: {{ .failurePolicy }}
{{- if ne .failurePolicy "Fail" }}
rules:
  {{- include .rules . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* metadata of a configuration; takes `root`, and `fail`: the rules' template of each entry with Fail. */}}
{{- define "litellm-registrar.configuration" -}}
name: {{ include "litellm-registrar.admission" .root }}
labels:
  {{- include "litellm-registrar.labels" (dict "root" .root "component" "webhook") | nindent 2 }}
{{- $annotations := deepCopy .root.Values.admission.annotations }}
{{- if eq .root.Values.certificates.source "cert-manager" }}
{{- $secret := printf "%s/%s" .root.Release.Namespace (include "litellm-registrar.certificateSecret" .root) }}
{{- $annotations = set $annotations "cert-manager.io/inject-ca-from" $secret }}
{{- end }}
{{- if .fail }}
{{- $rules := dict }}
{{- range $entry, $template := .fail }}
{{- $rules = set $rules $entry (include $template $ | fromYamlArray) }}
{{- end }}
{{- $annotations = set $annotations "litellm-registrar.io/rules" (toJson $rules) }}
{{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "litellm-registrar.namespaces" -}}
- key: kubernetes.io/metadata.name
  operator: NotIn
  values: {{ include "litellm-registrar.excludedNamespaces" . }}
{{- end -}}

{{/* `Fail` or `Ignore` for what judges pods: auto goes by whether a rule of the policy enforces. */}}
{{- define "litellm-registrar.validateFailurePolicy" -}}
{{- $chosen := .Values.admission.validateFailurePolicy -}}
{{- $document := and .Values.policy.enabled (not .Values.policy.existingConfigMap) .Values.policy.document -}}
{{- if ne $chosen "auto" -}}
{{ $chosen }}
{{- else if and $document (include "litellm-registrar.enforces" $document) -}}
Fail
{{- else -}}
Ignore
{{- end -}}
{{- end -}}

{{/* Not empty if a `mode` in this part of a policy, or one of `modes`, is `enforce`. */}}
{{- define "litellm-registrar.enforces" -}}
{{- if kindIs "map" . -}}
{{- if or (eq (toString .mode) "enforce") (and (kindIs "map" .modes) (has "enforce" (values .modes))) -}}yes{{- end -}}
{{- range . }}{{ include "litellm-registrar.enforces" . }}{{ end -}}
{{- else if kindIs "slice" . -}}
{{- range . }}{{ include "litellm-registrar.enforces" . }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "litellm-registrar.notBeingDeleted" -}}
- name: not-being-deleted
  expression: "oldObject == null || !has(oldObject.metadata.deletionTimestamp)"
{{- end -}}
