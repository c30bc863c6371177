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
	"time"
)

// DownloadTimeout bounds the download of a plugin.
const DownloadTimeout = 10 * time.Minute

// maxRedirects is how many redirections a download may follow.
const maxRedirects = 10

// download fetches a plugin package into a new temporary file, which the caller
// removes, and returns its path and the file name in the URL.
func (m *Manager) download(ctx context.Context, r InstallRequest) (file, fileName string, err error) {
	if r.SHA256 == "" {
		return "", "", errors.New("installing from URL requires non-empty SHA256 checksum of the plugin source")
	}
	source, err := url.Parse(r.URL)
	if err != nil {
		return "", "", fmt.Errorf("failed to parse plugin download URL %s with error: %w", r.URL, err)
	}
	if source.Scheme != "https" {
		return "", "", fmt.Errorf("failed to download plugin from URL: only the HTTPS scheme is supported, but got %s", source.Scheme)
	}
	r.status("Downloading plugin from " + r.URL)
	temporary, err := os.CreateTemp("", "notation-plugin-download-*")
	if err != nil {
		return "", "", fmt.Errorf("failed to create temporary file required for downloading plugin: %w", err)
	}
	if err = errors.Join(m.fetch(ctx, r, temporary), temporary.Close()); err != nil {
		os.Remove(temporary.Name())
		return "", "", fmt.Errorf("failed to download plugin from URL %s with error: %w", source.Redacted(), err)
	}
	r.status("Download completed")
	return temporary.Name(), path.Base(source.Path), nil
}

// fetch copies the body of the answer to w.
func (m *Manager) fetch(ctx context.Context, r InstallRequest, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, DownloadTimeout)
	defer cancel()
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
		return fmt.Errorf("%s %q: https response bad status: %s", request.Method, response.Request.URL.Redacted(), response.Status)
	}
	body := io.Reader(response.Body)
	if r.Progress != nil {
		body = &progressReader{r: body, total: response.ContentLength, report: r.Progress}
	}
	n, err := io.Copy(w, io.LimitReader(body, MaxPackageSize))
	if err != nil {
		return err
	}
	if n >= MaxPackageSize {
		return fmt.Errorf("%s %q: https response reached the %d MiB size limit", request.Method, response.Request.URL.Redacted(), MaxPackageSize>>20)
	}
	return nil
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
