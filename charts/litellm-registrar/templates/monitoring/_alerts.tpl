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
    {{- include "litellm-registrar.alerts.life" (dict "root" . "component" "broker") | nindent 4 }}
    {{- if ne .Values.reaper.mode "off" }}
    {{- include "litellm-registrar.alerts.reaper" (dict "root" . "component" "broker") | nindent 4 }}
    {{- end }}
    {{- include "litellm-registrar.alerts.process" (dict "root" . "component" "broker") | nindent 4 }}
    {{- else if .Values.metrics.podMonitor.enabled }}
    {{- include "litellm-registrar.alerts.registrars" . | nindent 4 }}
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
  # the second where no registrar asks for anything, the third from the start on
  expr: >-
    sum(increase({{ $metric }}_refusals_total{ {{- $of }}, rule="cannot_ask_litellm"}[5m])) > 0
    or (sum(increase({{ $metric }}_litellm_requests_total{ {{- $of }}, outcome=~"not_sent|no_answer"}[5m])) > 0
    unless sum(increase({{ $metric }}_litellm_requests_total{ {{- $of }}, outcome=~"ok|refused"}[5m])) > 0)
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

{{/* What becomes of pods, as their registrars report it and as LiteLLM's table shows it; takes `root`. */}}
{{- define "litellm-registrar.alerts.life" -}}
{{- $of := include "litellm-registrar.alerts.of" . -}}
{{- $metric := "litellm_registrar_broker" -}}
- alert: LitellmRegistrarNotRoutable
  # five minutes are in the figure already
  expr: max by (state) ({{ $metric }}_not_routable_pods{ {{- $of }}}) > 0
  for: 1m
  labels: {severity: warning}
  annotations:
    summary: >-
      {{`{{ $value }}`}} pods have not been routable through LiteLLM for five minutes: their registrars are
      {{`{{ $labels.state }}`}}.
    description: >-
      `litellm-registrar list` shows them; their condition litellm-registrar.io/Registered, and its Events, say since when and
      why. A server that is still loading a large model is `waiting` too.
- alert: LitellmRegistrarRowsBlocked
  expr: max by (state) ({{ $metric }}_rows{ {{- $of }}, state=~"blocked.*"}) > 0
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: "{{`{{ $value }}`}} rows of LiteLLM are {{`{{ $labels.state }}`}}: they get no requests."
    description: >-
      `blocked`: by their registrar, whose server is not well. `blocked_by_reaper`: their node is not Ready.
      `blocked_by_others`: by somebody in LiteLLM, who alone can unblock them.
- alert: LitellmRegistrarDrainsCut
  expr: sum(increase({{ $metric }}_drain_cut_requests_total{ {{- $of }}}[30m])) > 0
  labels: {severity: warning}
  annotations:
    summary: "Drains have cut requests: {{`{{ $value | humanize }}`}} in half an hour."
    description: >-
      Servers got SIGTERM with requests in flight, as a drain was overdue or the grace period was cut short. A longer
      drain-timeout, or terminationGracePeriodSeconds, lets them end.
- alert: LitellmRegistrarNobodyReaps
  expr: >-
    sum({{ $metric }}_reaper_leading{ {{- $of }}}) == 0
    or time() - max({{ $metric }}_reaper_last_look_timestamp_seconds{ {{- $of }}}) > 600
  for: 10m
  labels: {severity: warning}
  annotations:
    summary: No replica of the broker holds LiteLLM's rows against the pods that live.
    description: Rows that a crash leaves stay, and the figures of rows and registrars are missing. The broker's log says why.
{{- end -}}

{{/* Takes `root`. */}}
{{- define "litellm-registrar.alerts.reaper" -}}
{{- $of := include "litellm-registrar.alerts.of" . -}}
{{- $metric := "litellm_registrar_broker" -}}
- alert: LitellmRegistrarReaperHeld
  expr: max by (brake) ({{ $metric }}_reaper_held{ {{- $of }}}) == 1
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: "The reaper is held back by its brake {{`{{ $labels.brake }}`}}: rows without a pod stay in LiteLLM."
    description: >-
      `share`: more rows are due at once than may be; the broker's log has, under BRAKE, the command by which a person lets
      them go. `other_cluster`: the API server is not that of the broker's start any more. The others end by themselves once
      both sides answer again.
- alert: LitellmRegistrarReaperFails
  expr: sum by (reason) (increase({{ $metric }}_reaper_failures_total{ {{- $of }}}[10m])) > 0
  for: 10m
  labels: {severity: warning}
  annotations:
    summary: "The reaper cannot do what is due: {{`{{ $labels.reason }}`}}."
    description: It tries again. The broker's log says what it was answered.
{{- end -}}

{{/* With mode: direct nobody but the registrars themselves, in any namespace, knows what becomes of pods. */}}
{{- define "litellm-registrar.alerts.registrars" -}}
- alert: LitellmRegistrarNotRoutable
  expr: max by (namespace, pod, state) (litellm_registrar_state{state=~"waiting|blocked"}) == 1
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: >-
      {{`{{ $labels.namespace }}/{{ $labels.pod }}`}} has not been routable through LiteLLM for five minutes: its registrar is
      {{`{{ $labels.state }}`}}.
    description: >-
      The log of its container `registrar` says why. A server that is still loading a large model is `waiting` too.
- alert: LitellmRegistrarRowsBlocked
  expr: max by (namespace, pod) (litellm_registrar_rows{state="blocked_by_someone_else"}) > 0
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: "{{`{{ $value }}`}} rows of {{`{{ $labels.namespace }}/{{ $labels.pod }}`}} get no requests: somebody has blocked them."
    description: Whoever did so in LiteLLM alone can unblock them.
- alert: LitellmRegistrarDrainsCut
  expr: sum by (namespace) (increase(litellm_registrar_drain_cut_requests_total[30m])) > 0
  labels: {severity: warning}
  annotations:
    summary: "Drains have cut requests: {{`{{ $value | humanize }}`}} in half an hour in {{`{{ $labels.namespace }}`}}."
    description: >-
      Servers got SIGTERM with requests in flight, as a drain was overdue or the grace period was cut short. A longer
      drain-timeout, or terminationGracePeriodSeconds, lets them end.
- alert: LitellmRegistrarLitellmUnreachable
  expr: >-
    sum(increase(litellm_registrar_litellm_calls_total{outcome=~"litellm_unreachable|litellm_no_answer"}[5m])) > 0
    unless sum(increase(litellm_registrar_litellm_calls_total{outcome="ok"}[5m])) > 0
  for: 10m
  labels: {severity: critical}
  annotations:
    summary: No registrar gets an answer of LiteLLM.
    description: >-
      New model servers are not registered, and those that end stay in it. A registrar's log says what is wrong: the address,
      its certificate, no answer.
{{- end -}}
