{{- define "hk.name" -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{- end }}

{{- define "hk.labels" -}}
app.kubernetes.io/name: hekatoncheir
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "hk.selector" -}}
app.kubernetes.io/name: hekatoncheir
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "hk.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{/* The pod of a role: root, role, account, token (whether it speaks to the API server), resources */}}
{{- define "hk.pod" -}}
{{- $root := .root -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: {{ .token }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
terminationGracePeriodSeconds: 60
containers:
  - name: {{ .role }}
    image: {{ include "hk.image" $root | quote }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    args: [{{ .role | quote }}]
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    envFrom:
      - configMapRef: {name: {{ .config }}}
    env:
      {{- range $key := list "PORTAL_SECRET_KEY" "DATABASE_URL" "REDIS_URL" "PORTAL_OIDC_CLIENT_SECRET" }}
      - name: {{ $key }}
        valueFrom: {secretKeyRef: {name: {{ $root.Values.existingSecret }}, key: {{ $key }}}}
      {{- end }}
    resources: {{ toYaml .resources | nindent 6 }}
    {{- if eq .role "web" }}
    ports: [{name: http, containerPort: 8000}]
    startupProbe:
      httpGet: &probe {path: /livez, port: http, httpHeaders: [{name: Host, value: {{ first $root.Values.hosts | quote }}}, {name: X-Forwarded-Proto, value: https}]}
      periodSeconds: 2
      failureThreshold: 60
    livenessProbe:
      httpGet: *probe
      periodSeconds: 10
      timeoutSeconds: 5
    readinessProbe:
      httpGet: {path: /readyz, port: http, httpHeaders: [{name: Host, value: {{ first $root.Values.hosts | quote }}}, {name: X-Forwarded-Proto, value: https}]}
      periodSeconds: 5
      timeoutSeconds: 5
    lifecycle: {preStop: {sleep: {seconds: 5}}}
    {{- else if ne .role "migrate" }}
    livenessProbe:
      exec: {command: [hekatoncheir, health]}
      periodSeconds: 30
      timeoutSeconds: 10
    {{- end }}
    volumeMounts:
      - {name: home, mountPath: /var/lib/hekatoncheir}
      - {name: tmp, mountPath: /tmp}
      - {name: keys, mountPath: /etc/hekatoncheir/keys, readOnly: true}
      - {name: backends, mountPath: /etc/hekatoncheir/backends, readOnly: true}
volumes:
  - name: home
    emptyDir: {sizeLimit: {{ $root.Values.homeSize }}}
  - name: tmp
    emptyDir: {sizeLimit: 1Gi}
  - name: keys
    secret:
      secretName: {{ $root.Values.existingSecret }}
      defaultMode: 288
  - name: backends
    configMap: {name: {{ .config }}, items: [{key: backends.yaml, path: backends.yaml}]}
{{- end }}

{{- define "hk.config" -}}
PORTAL_PRODUCTION: "1"
PORTAL_URL: {{ .Values.url | quote }}
PORTAL_GATEWAY_URL: {{ .Values.gatewayUrl | quote }}
PORTAL_HOSTS: {{ join "," .Values.hosts | quote }}
PORTAL_OIDC_ENDPOINT: {{ .Values.oidc.endpoint | quote }}
PORTAL_OIDC_CLIENT_ID: {{ .Values.oidc.clientId | quote }}
PORTAL_SECRETS_KEY_FILE: /etc/hekatoncheir/keys/fernet.keys
PORTAL_ENDPOINT_KEY_FILE: /etc/hekatoncheir/keys/endpoint-es256.pem
PORTAL_BACKENDS_FILE: /etc/hekatoncheir/backends/backends.yaml
PORTAL_WORKER_THREADS: {{ .Values.worker.threads | quote }}
{{- range $name, $value := .Values.settings }}
{{ $name }}: {{ $value | quote }}
{{- end }}
backends.yaml: |
{{ toYaml .Values.backends | indent 2 }}
{{- end }}
