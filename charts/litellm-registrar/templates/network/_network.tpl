{{/* CIDRs as peers. */}}
{{- define "litellm-registrar.network.blocks" -}}
{{- range . }}
- ipBlock: {cidr: {{ . | quote }}}
{{- end }}
{{- end -}}

{{/* The health port: kubelets' probes, and whoever reads metrics, which is some pod; takes `root` and `port`. */}}
{{- define "litellm-registrar.network.health" -}}
- ports:
    - {protocol: TCP, port: {{ .port }}}
  {{- with .root.Values.networkPolicy.apiServerCIDRs }}
  from:
    {{- include "litellm-registrar.network.blocks" . | trim | nindent 4 }}
    - namespaceSelector: {}
  {{- end }}
{{- end -}}
