{{/* Flags of `webhook serve`, a line each. */}}
{{- define "litellm-registrar.webhook.arguments" -}}
{{- $name := include "litellm-registrar.fullname" . -}}
- --log-format={{ .Values.webhook.logFormat }}
- --port={{ .Values.webhook.port }}
- --health-port={{ .Values.webhook.healthPort }}
- --namespace={{ .Release.Namespace }}
{{- with .Values.clusterId }}
- --cluster-id={{ . }}
{{- end }}
{{- if eq .Values.certificates.source "own" }}
- --tls-secret={{ $name }}-webhook-tls
- --service={{ $name }}-webhook
- --webhook-configurations={{ include "litellm-registrar.admission" . }}
{{- else }}
- --tls-cert=/etc/litellm-registrar/tls/tls.crt
- --tls-key=/etc/litellm-registrar/tls/tls.key
{{- end }}
- --lease={{ $name }}-webhook
- --excluded-namespaces={{ include "litellm-registrar.excludedNamespaces" . | fromJsonArray | join "," }}
{{- if include "litellm-registrar.gated" . }}
- --gated-configurations={{ include "litellm-registrar.admission" . }}
{{- end }}
- --registrar-image={{ include "litellm-registrar.registrarImage" . }}
{{- with .Values.registrar.imagePullSecrets }}
- --registrar-pull-secrets={{ join "," . }}
{{- end }}
- --registrar-user={{ include "litellm-registrar.idOrNone" .Values.registrar.runAsUser }}
- --registrar-group={{ include "litellm-registrar.idOrNone" .Values.registrar.runAsGroup }}
{{- if eq .Values.mode "broker" }}
- --broker-url=https://{{ $name }}-broker.{{ .Release.Namespace }}.svc
- --broker-ca-configmap={{ $name }}-broker-ca
- --token-expiration={{ int .Values.registrar.tokenExpiration }}
{{- else }}
- --litellm-secret={{ .Values.registrar.litellmSecret }}
{{- end }}
- --inject-mode={{ .Values.registrar.injectMode }}
{{- if eq .Values.registrar.injectMode "auto" }}
- --native-from={{ .Values.registrar.nativeFrom }}
{{- end }}
{{- with .Values.registrar.resources }}
- --registrar-cpu-request={{ include "litellm-registrar.quantity" .requests.cpu }}
- --registrar-memory-request={{ include "litellm-registrar.quantity" .requests.memory }}
- --registrar-cpu-limit={{ include "litellm-registrar.quantity" .limits.cpu }}
- --registrar-memory-limit={{ include "litellm-registrar.quantity" .limits.memory }}
{{- end }}
{{- if .Values.defaults }}
- --defaults=/etc/litellm-registrar/defaults/defaults.yaml
{{- end }}
{{- if .Values.policy.enabled }}
{{- if include "litellm-registrar.policyConfigMap" . }}
- --policy=/etc/litellm-registrar/policy/policy.yaml
{{- else }}
- --policy=default
{{- end }}
{{- end }}
{{- end -}}

{{/* A user or group id as a flag takes it; null leaves it to the cluster. */}}
{{- define "litellm-registrar.idOrNone" -}}
{{- if kindIs "invalid" . -}}none{{- else -}}{{ int64 . }}{{- end -}}
{{- end -}}

{{/* A quantity as a flag takes it: of a large number a template would print 1.3e+08. */}}
{{- define "litellm-registrar.quantity" -}}
{{ toJson . | trimAll "\"" }}
{{- end -}}

{{/* The ConfigMap with the policy's file; empty for the policy that ships, and for none. */}}
{{- define "litellm-registrar.policyConfigMap" -}}
{{- if not .Values.policy.enabled -}}
{{- else if .Values.policy.existingConfigMap -}}
{{ .Values.policy.existingConfigMap }}
{{- else if .Values.policy.document -}}
{{ include "litellm-registrar.fullname" . }}-policy
{{- end -}}
{{- end -}}

{{/* The Secret that the webhook's certificate is mounted from; empty where it makes its own. */}}
{{- define "litellm-registrar.certificateSecret" -}}
{{- if eq .Values.certificates.source "cert-manager" -}}
{{ include "litellm-registrar.fullname" . }}-webhook-cert
{{- else if eq .Values.certificates.source "secret" -}}
{{ .Values.certificates.existingSecret }}
{{- end -}}
{{- end -}}

{{/* Whole folders are mounted, never single files: the kubelet brings changes into those only, and they are followed. */}}
{{- define "litellm-registrar.webhook.mounts" -}}
{{- if include "litellm-registrar.certificateSecret" . }}
- {name: tls, mountPath: /etc/litellm-registrar/tls, readOnly: true}
{{- end }}
{{- if .Values.defaults }}
- {name: defaults, mountPath: /etc/litellm-registrar/defaults, readOnly: true}
{{- end }}
{{- if include "litellm-registrar.policyConfigMap" . }}
- {name: policy, mountPath: /etc/litellm-registrar/policy, readOnly: true}
{{- end }}
{{- end -}}

{{- define "litellm-registrar.webhook.volumes" -}}
{{- with include "litellm-registrar.certificateSecret" . }}
- name: tls
  secret:
    secretName: {{ . }}
{{- end }}
{{- if .Values.defaults }}
- name: defaults
  configMap:
    name: {{ include "litellm-registrar.fullname" . }}-defaults
{{- end }}
{{- with include "litellm-registrar.policyConfigMap" . }}
- name: policy
  configMap:
    name: {{ . }}
{{- end }}
{{- end -}}
