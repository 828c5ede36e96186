{{/* The groups of alerts. The metrics are those of the processes (README, "Metrics"); `up` is Prometheus' own word for
     whether it reaches one. Of a release all have the namespace; `job` is the Service's name, as the ServiceMonitor gives it.
     What is reported by the leading replica only is a maximum, so that a change of leaders does not count twice. */}}

{{- define "litellm-registrar.alerts" -}}
- name: litellm-registrar
  rules:
    {{- include "litellm-registrar.alerts.webhook" (dict "root" . "component" "webhook") | nindent 4 }}
    {{- include "litellm-registrar.alerts.process" (dict "root" . "component" "webhook") | nindent 4 }}
    {{- if eq .Values.mode "broker" }}
    {{- include "litellm-registrar.alerts.broker" (dict "root" . "component" "broker") | nindent 4 }}
    {{- include "litellm-registrar.alerts.process" (dict "root" . "component" "broker") | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* What every series of a release is told by; takes `root`. */}}
{{- define "litellm-registrar.alerts.of" -}}
namespace="{{ .root.Release.Namespace }}"
{{- end -}}

{{/* What webhook and broker have alike; takes `root` and `component`. A new certificate is made 30 days before the old one
     ends: at 14 somebody or something has been in the way for two weeks. */}}
{{- define "litellm-registrar.alerts.process" -}}
{{- $of := include "litellm-registrar.alerts.of" . -}}
{{- $metric := printf "litellm_registrar_%s" .component -}}
{{- $Name := printf "LitellmRegistrar%s" (title .component) -}}
- alert: {{ $Name }}CertificateEnds
  expr: min by (pod) ({{ $metric }}_tls_not_after_seconds{ {{- $of }}, certificate="leaf"}) - time() < 14 * 86400
  for: 10m
  labels: {severity: warning}
  annotations:
    summary: The {{ .component }}'s certificate ends in {{`{{ $value | humanizeDuration }}`}} and was not renewed.
    description: >-
      {{`{{ $labels.pod }}`}} serves it. Its log says under TLS and PROBLEM what is in the way. When it has ended,
      the {{ .component }} is as good as away.
- alert: {{ $Name }}CertificateRefused
  expr: min by (pod) ({{ $metric }}_tls_leaf_verifies{ {{- $of }}}) == 0
  for: 5m
  labels: {severity: critical}
  annotations:
    summary: What the {{ .component }} serves does not verify by the CA bundle that is published for it.
    description: >-
      Clients refuse {{`{{ $labels.pod }}`}}. Somebody has changed the published bundle, or the Secret of
      certificates; the log says which.
- alert: {{ $Name }}BundleNotPublished
  expr: max by (namespace) ({{ $metric }}_tls_bundle_published{ {{- $of }}}) == 0
  for: 15m
  labels: {severity: warning}
  annotations:
    summary: The CA bundle that the {{ .component }}'s certificates are verified by is not published everywhere.
    description: >-
      The next certificate would be refused. {{ $metric }}_tls_publication_info tells which object, and why.
- alert: {{ $Name }}FileNotTaken
  expr: min by (file) ({{ $metric }}_file_good{ {{- $of }}}) == 0
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: The {{ .component }}'s file {{`{{ $labels.file }}`}} is bad as it is now, the last good one counts.
    description: The {{ .component }}'s log names the line and what is wrong with it. After a restart there is no last good one.
{{- end -}}

{{/* Takes `root`. */}}
{{- define "litellm-registrar.alerts.webhook" -}}
{{- $of := include "litellm-registrar.alerts.of" . -}}
{{- $name := include "litellm-registrar.fullname" .root -}}
{{- $metric := "litellm_registrar_webhook" -}}
- alert: LitellmRegistrarWebhookDown
  expr: absent(up{ {{- $of }}, job="{{ $name }}-webhook"} == 1)
  for: 5m
  labels: {severity: critical}
  annotations:
    summary: No replica of the webhook can be reached.
    description: >-
      Labelled pods start without a registrar, or do not start where failurePolicy is Fail. Everything else goes on; what is
      registered stays so.
- alert: LitellmRegistrarWebhookErrors
  expr: sum(increase({{ $metric }}_reviews_total{ {{- $of }}, reason="internal_error"}[10m])) > 0
  labels: {severity: warning}
  annotations:
    summary: The webhook could not decide on objects, by errors of its own.
    description: >-
      Under FAILED its log has each with its reference. What `--on-error` says was answered.
- alert: LitellmRegistrarPodsMissed
  expr: max by (reason) ({{ $metric }}_missed_pods{ {{- $of }}}) > 0
  for: 15m
  labels: {severity: warning}
  annotations:
    summary: "Living pods ask for a registrar and have none: {{`{{ $value }}`}} for the reason {{`{{ $labels.reason }}`}}."
    description: >-
      Each has an Event that says so. Those that were `missed` came while the webhook was away, and get one when they are made
      anew (kubectl rollout restart).
- alert: LitellmRegistrarNotStarted
  expr: max({{ $metric }}_injected_pods_not_started{ {{- $of }}}) > 0
  for: 10m
  labels: {severity: critical}
  annotations:
    summary: "The registrar of {{`{{ $value }}`}} pods does not start: their servers may not either."
    description: >-
      Each has an Event that says why. Mostly its image cannot be pulled: see registrar.image and
      registrar.imagePullSecrets of the chart, and `helm test`.
- alert: LitellmRegistrarServersRefused
  expr: max by (when) ({{ $metric }}_servers_refused{ {{- $of }}}) > 0
  for: 15m
  labels: {severity: warning}
  annotations:
    summary: >-
      {{`{{ $value }}`}} living model servers would be refused if they were made anew
      ({{`{{ $labels.when }}`}}).
    description: >-
      The policy has changed since, or an exception has ended or soon will. They run on; their next pods would not start. Each
      has an Event that says by which rule.
- alert: LitellmRegistrarNobodyLooks
  expr: sum({{ $metric }}_leading{ {{- $of }}}) == 0
  for: 10m
  labels: {severity: warning}
  annotations:
    summary: No replica of the webhook looks after what lives.
    description: Missed pods and registrars that do not start are not found. The webhook's log says why it cannot lead.
{{- if include "litellm-registrar.gated" .root }}
- alert: LitellmRegistrarRulesHeldBack
  expr: min({{ $metric }}_rules_held_back{ {{- $of }}}) > 0
  for: 15m
  labels: {severity: warning}
  annotations:
    summary: What has failurePolicy Fail is not in force.
    description: >-
      The webhook keeps it back until the API server reaches it, and its log says under PROBLEM why it does not. Until then
      pods come unchanged and unjudged.
{{- end }}
{{- end -}}

{{/* Takes `root`. */}}
{{- define "litellm-registrar.alerts.broker" -}}
{{- $of := include "litellm-registrar.alerts.of" . -}}
{{- $name := include "litellm-registrar.fullname" .root -}}
{{- $metric := "litellm_registrar_broker" -}}
- alert: LitellmRegistrarBrokerDown
  expr: absent(up{ {{- $of }}, job="{{ $name }}-broker"} == 1)
  for: 5m
  labels: {severity: critical}
  annotations:
    summary: No replica of the broker can be reached.
    description: >-
      New model servers are not registered, and those that end stay in LiteLLM. What is registered goes on being served.
- alert: LitellmRegistrarLitellmUnreachable
  # the latter where no registrar asks for anything
  expr: >-
    sum(increase({{ $metric }}_refusals_total{ {{- $of }}, rule="cannot_ask_litellm"}[5m])) > 0
    or max({{ $metric }}_key{ {{- $of }}, is="unknown"}) == 1
  for: 10m
  labels: {severity: critical}
  annotations:
    summary: The broker gets no answer of LiteLLM.
    description: >-
      New model servers are not registered, and those that end stay in it. The broker's log says what is wrong: the address,
      its certificate, no answer.
- alert: LitellmRegistrarKubernetesUnreachable
  expr: sum(increase({{ $metric }}_refusals_total{ {{- $of }}, rule="cannot_ask_kubernetes"}[5m])) > 0
  for: 10m
  labels: {severity: critical}
  annotations:
    summary: The broker cannot ask the API server whose calls it gets, and refuses them.
    description: The broker's log says what the API server answers. Its rights are the ServiceAccount's, {{ $name }}-broker.
- alert: LitellmRegistrarKeyLacks
  expr: max({{ $metric }}_key{ {{- $of }}, is="missing"}) == 1
  for: 10m
  labels: {severity: critical}
  annotations:
    summary: LiteLLM's key does not allow all that the broker needs.
    description: The broker's log names the routes. The README says how to make a key that has them ("LiteLLM's key").
- alert: LitellmRegistrarCallsFail
  expr: >-
    sum(increase({{ $metric }}_calls_total{ {{- $of }}, status=~"5.."}[10m]))
    / sum(increase({{ $metric }}_calls_total{ {{- $of }}}[10m])) > 0.1
  for: 10m
  labels: {severity: warning}
  annotations:
    summary: "{{`{{ $value | humanizePercentage }}`}} of what registrars ask of the broker fails."
    description: >-
      Under FAULT the broker's log has what LiteLLM answered instead of doing it, under REFUSED and FAILED what the broker did.
- alert: LitellmRegistrarBrokerErrors
  expr: sum(increase({{ $metric }}_refusals_total{ {{- $of }}, rule="internal_error"}[10m])) > 0
  labels: {severity: warning}
  annotations:
    summary: The broker could not decide on calls, by errors of its own.
    description: Under FAILED its log says which. Registrars try again.
{{- end -}}
