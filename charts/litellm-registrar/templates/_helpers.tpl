{{/* What everything of the release is called by: the release's name, and what it is if that does not say so. Short enough
     that the longest name made of it (a Service's has 63 characters) still fits. */}}
{{- define "litellm-registrar.fullname" -}}
{{- if contains "litellm-registrar" .Release.Name -}}
{{- .Release.Name | trunc 44 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-litellm-registrar" (.Release.Name | trunc 26 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* Both webhook configurations. The API server calls mutating webhooks in the order of their configurations' names: this
     one comes before a mesh's (`istio-…`, `linkerd-…`), whose injector then sees our annotations. */}}
{{- define "litellm-registrar.admission" -}}
admission.{{ include "litellm-registrar.fullname" . }}
{{- end -}}

{{/* What pods of one component are selected by; takes `root` and `component`. */}}
{{- define "litellm-registrar.selectorLabels" -}}
app.kubernetes.io/name: litellm-registrar
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Takes `root` and `component`. */}}
{{- define "litellm-registrar.labels" -}}
{{ include "litellm-registrar.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{/* Name, namespace and labels of an object; takes `root`, `component` and `name`, what follows the release's. */}}
{{- define "litellm-registrar.metadata" -}}
name: {{ include "litellm-registrar.fullname" .root }}-{{ .name | default .component }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "litellm-registrar.labels" . | nindent 2 }}
{{- end -}}

{{/* An image's reference; takes `image` (repository, tag, digest) and `root`. */}}
{{- define "litellm-registrar.reference" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* Image of webhook and broker. */}}
{{- define "litellm-registrar.image" -}}
{{ include "litellm-registrar.reference" (dict "root" . "image" .Values.image) }}
{{- end -}}

{{/* Image of the registrar, by the very reference that is injected. */}}
{{- define "litellm-registrar.registrarImage" -}}
{{ include "litellm-registrar.reference" (dict "root" . "image" .Values.registrar.image) }}
{{- end -}}

{{/* The restricted Pod Security Standard, the pod's part. A kubelet takes only the uid from an image, hence the group. */}}
{{- define "litellm-registrar.podSecurityContext" -}}
runAsNonRoot: true
{{- if not (kindIs "invalid" .Values.runAsUser) }}
runAsUser: {{ int64 .Values.runAsUser }}
{{- end }}
{{- if not (kindIs "invalid" .Values.runAsGroup) }}
runAsGroup: {{ int64 .Values.runAsGroup }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The container's part of it. */}}
{{- define "litellm-registrar.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The namespaces that entries of the webhook configurations look at: all but those that must start without us. */}}
{{- define "litellm-registrar.excludedNamespaces" -}}
{{- concat (list "kube-system" .Release.Namespace) .Values.admission.excludedNamespaces | uniq | toJson -}}
{{- end -}}

{{/* What both Deployments' pods have in common before their containers; takes `root`, `component` and `values`. */}}
{{- define "litellm-registrar.pod" -}}
serviceAccountName: {{ include "litellm-registrar.fullname" .root }}-{{ .component }}
# A Service called `webhook` in this namespace would otherwise set variables that the settings are read from.
enableServiceLinks: false
securityContext:
  {{- include "litellm-registrar.podSecurityContext" .root | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .values.affinity }}
affinity:
  {{- toYaml .values.affinity | nindent 2 }}
{{- else }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    # of one revision alone: during an update the old pods are about to go
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "litellm-registrar.selectorLabels" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* What both containers have in common beside name, arguments and volumes; takes `root` and `values`. */}}
{{- define "litellm-registrar.container" -}}
image: {{ include "litellm-registrar.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- include "litellm-registrar.securityContext" .root | nindent 2 }}
resources:
  {{- toYaml .values.resources | nindent 2 }}
# Whoever serves is asked for nothing until it says that it can; only one that does not answer at all is restarted. On a busy
# node a slow replica is better than none: all of them would be taken out of the Service at once. (One that ends is taken
# out when its deletion begins, whatever its probe says.)
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 3
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}
