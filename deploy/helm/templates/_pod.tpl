{{- /* The pod of a worker. Takes a list: the root, the values of the worker, its arguments, its restart policy. */ -}}
{{- define "backspin.pod" -}}
{{- $root := index . 0 }}{{- $own := index . 1 }}{{- $args := index . 2 }}{{- $restart := index . 3 }}
{{- $image := default $root.Values.image $own.image }}
restartPolicy: {{ $restart }}
terminationGracePeriodSeconds: {{ $root.Values.drain }}
securityContext: { runAsNonRoot: true, runAsUser: 1001, fsGroup: 1001 }
{{- with $own.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with $own.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
containers:
  - name: worker
    image: {{ printf "%s:%s" $image.repository $image.tag | quote }}
    args: {{ concat (list "worker") $args (list "--drain-before" (printf "%ds" (int $root.Values.drain))) | toJson }}
    env:
      - { name: TEMPORAL_ADDRESS, value: {{ $root.Values.temporal.address | quote }} }
      - { name: TEMPORAL_NAMESPACE, value: {{ $root.Values.temporal.namespace | quote }} }
      - { name: BACKSPIN_STORE, value: {{ $root.Values.store | quote }} }
      {{- range $name, $value := $root.Values.env }}
      - { name: {{ $name }}, value: {{ $value | quote }} }
      {{- end }}
    {{- with $root.Values.secret }}
    envFrom: [{ secretRef: { name: {{ . }} } }]
    {{- end }}
    {{- with $own.resources }}
    resources: {{ toJson . }}
    {{- end }}
    volumeMounts: [{ name: home, mountPath: /home/backspin/home }]
volumes: [{ name: home, emptyDir: {} }]
{{- end }}
