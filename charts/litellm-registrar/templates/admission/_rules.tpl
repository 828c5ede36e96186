{{/* Which requests each entry asks about. */}}
{{- define "litellm-registrar.rules.newPods" -}}
- apiGroups: [""]
  apiVersions: [v1]
  resources: [pods]
  operations: [CREATE]
  scope: Namespaced
{{- end -}}

{{- define "litellm-registrar.rules.carriers" -}}
- apiGroups: [apps]
  apiVersions: [v1]
  resources: [deployments, statefulsets, daemonsets]
  operations: [CREATE, UPDATE]
  scope: Namespaced
{{- end -}}

{{- define "litellm-registrar.rules.pods" -}}
- apiGroups: [""]
  apiVersions: [v1]
  resources: [pods]
  operations: [CREATE, UPDATE]
  scope: Namespaced
- apiGroups: [""]
  apiVersions: [v1]
  resources: [pods/ephemeralcontainers, pods/resize]
  operations: [UPDATE]
  scope: Namespaced
{{- end -}}

{{- define "litellm-registrar.rules.unlabelled" -}}
- apiGroups: [""]
  apiVersions: [v1]
  resources: [pods]
  operations: [CREATE, UPDATE]
  scope: Namespaced
- apiGroups: [""]
  apiVersions: [v1]
  resources: [pods/ephemeralcontainers]
  operations: [UPDATE]
  scope: Namespaced
- apiGroups: [apps]
  apiVersions: [v1]
  resources: [deployments, statefulsets, daemonsets, replicasets]
  operations: [CREATE, UPDATE]
  scope: Namespaced
- apiGroups: [batch]
  apiVersions: [v1]
  resources: [jobs, cronjobs]
  operations: [CREATE, UPDATE]
  scope: Namespaced
- apiGroups: [leaderworkerset.x-k8s.io]
  apiVersions: [v1]
  resources: [leaderworkersets]
  operations: [CREATE, UPDATE]
  scope: Namespaced
{{- end -}}
