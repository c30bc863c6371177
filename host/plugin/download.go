package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// DownloadTimeout bounds the download of a plugin.
const DownloadTimeout = 10 * time.Minute

// maxRedirects is how many redirections a download may follow.
const maxRedirects = 10

// fetch gets the package of a request into a new file, which the function returned
// removes, and lets the request be about that.
func (m *Manager) fetch(ctx context.Context, r *InstallRequest) (remove func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, DownloadTimeout)
	defer cancel()
	fetch := r.Fetch
	if r.URL != "" {
		source, err := r.parseURL()
		if err != nil {
			return nil, err
		}
		if r.FileName == "" {
			r.FileName = path.Base(source.Path)
		}
		r.Source = redactURL(source)
		r.status("Downloading plugin from " + r.Source)
		fetch = func(ctx context.Context, w io.Writer) error {
			if err := m.download(ctx, *r, w); err != nil {
				return fmt.Errorf("failed to download plugin from URL %s with error: %w", r.Source, err)
			}
			return nil
		}
	} else if r.FileName == "" {
		r.FileName = "package" // an archive: no executable has this name
	}
	file, remove, err := m.downloadFile(ctx)
	if err != nil {
		return nil, fmt.Errorf("failed to create temporary file required for downloading plugin: %w", err)
	}
	bounded := &boundedWriter{w: file, left: MaxPackageSize - 1, err: errFileSize}
	if err := errors.Join(fetch(ctx, bounded), file.Close()); err != nil {
		remove()
		return nil, err
	}
	r.status("Download completed")
	r.File, r.fetched = file.Name(), file.Name()
	return remove, nil
}

// downloadPrefix starts the names of the directories of downloads.
const downloadPrefix = scratchPrefix + "download-"

// downloadFile makes a file in a directory of its own, which other programs leave
// alone while this one lives; the guard is free in the meantime, for a download may
// take long. The function returned removes both.
func (m *Manager) downloadFile(ctx context.Context) (file *os.File, remove func(), err error) {
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return nil, nil, err
	}
	release, err := m.store.guard(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	m.cleanScratch()
	dir, err := os.MkdirTemp(m.dir, downloadPrefix+"*")
	if err != nil {
		return nil, nil, err
	}
	alive := flock.New(filepath.Join(dir, guardName))
	remove = func() {
		alive.Close()
		os.RemoveAll(dir)
	}
	if _, err = alive.TryLock(); err == nil {
		file, err = os.Create(filepath.Join(dir, "package"))
	}
	if err != nil {
		remove()
		return nil, nil, err
	}
	return file, remove, nil
}

// downloading tells whether the program that made the directory of a download lives.
func downloading(dir string) bool {
	alive := flock.New(filepath.Join(dir, guardName))
	defer alive.Close()
	free, err := alive.TryLock()
	return err == nil && !free
}

func (r InstallRequest) parseURL() (*url.URL, error) {
	if r.SHA256 == "" {
		return nil, errors.New("installing from URL requires non-empty SHA256 checksum of the plugin source")
	}
	source, err := url.Parse(r.URL)
	if err != nil {
		return nil, errors.New("failed to parse plugin download URL: it must be like https://<host>/<path>, with other characters percent-encoded")
	}
	if source.Scheme != "https" {
		return nil, fmt.Errorf("failed to download plugin from URL: only the HTTPS scheme is supported, but got %s", source.Scheme)
	}
	return source, nil
}

// redactURL writes a URL without user information and query: both may be secret.
func redactURL(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// download copies the body of the URL's answer to w.
func (m *Manager) download(ctx context.Context, r InstallRequest, w io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept-Encoding", "identity") // the checksum is over the bytes as published
	response, err := m.downloader().Do(request)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err // the URL is in the message already
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %q: https response bad status: %s", request.Method, redactURL(response.Request.URL), response.Status)
	}
	body := io.Reader(response.Body)
	if r.Progress != nil {
		body = &progressReader{r: body, total: response.ContentLength, report: r.Progress}
	}
	_, err = io.Copy(w, body)
	if errors.Is(err, errFileSize) {
		return fmt.Errorf("%s %q: https response reached the %d MiB size limit", request.Method, redactURL(response.Request.URL), MaxPackageSize>>20)
	}
	return err
}

// downloader is the HTTP client, kept to https.
func (m *Manager) downloader() *http.Client {
	client := http.Client{}
	if m.opts.HTTPClient != nil {
		client = *m.opts.HTTPClient
	}
	follow := client.CheckRedirect
	client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		switch {
		case next.URL.Scheme != "https":
			return fmt.Errorf("only the HTTPS scheme is supported, but got a redirection to %s", next.URL.Scheme)
		case len(via) >= maxRedirects:
			return fmt.Errorf("stopped after %d redirections", maxRedirects)
		case follow != nil:
			return follow(next, via)
		}
		return nil
	}
	return &client
}

type progressReader struct {
	r        io.Reader
	received int64
	total    int64
	report   func(received, total int64)
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.received += int64(n)
	p.report(p.received, p.total)
	return n, err
}
