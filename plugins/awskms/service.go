package awskms

import (
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// maxAnswer bounds an answer of KMS, in MiB.
const maxAnswer = 1

// api is what the plugin uses of KMS.
type api interface {
	GetPublicKey(ctx context.Context, in *kms.GetPublicKeyInput, options ...func(*kms.Options)) (*kms.GetPublicKeyOutput, error)
	Sign(ctx context.Context, in *kms.SignInput, options ...func(*kms.Options)) (*kms.SignOutput, error)
}

// service is KMS in one region, with one way to get credentials. It may be used
// by several goroutines at once.
type service struct {
	api     api
	timeout time.Duration
	// place is the region, and what else of the settings leads there, for messages.
	place string
}

// connect makes a client; nothing is asked of AWS yet. Throttled requests are
// not sent again: the host does that.
func connect(ctx context.Context, s settings) (*service, error) {
	options := []func(*config.LoadOptions) error{config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} })}
	if s.profile != "" {
		options = append(options, config.WithSharedConfigProfile(s.profile))
	}
	if s.region != "" {
		options = append(options, config.WithRegion(s.region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "AWS configuration: %s", signer.OneLine(err.Error()))
	}
	if cfg.Region == "" {
		return nil, protocol.Errorf(protocol.CodeValidation, "no AWS region is known: use a key ARN, or set plugin config %s, AWS_REGION or the profile's region", ConfigRegion)
	}
	if s.roleARN != "" {
		cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), s.roleARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = s.sessionName
			if s.externalID != "" {
				o.ExternalID = &s.externalID
			}
		}))
	}
	cfg.Credentials = credentials{cfg.Credentials}
	client := kms.NewFromConfig(cfg, func(o *kms.Options) {
		if s.endpoint != "" {
			o.BaseEndpoint = &s.endpoint
		}
		o.HTTPClient = bounded{o.HTTPClient}
		o.APIOptions = append(o.APIOptions, middleware.AddUserAgentKeyValue(defaultSessionName, version))
	})
	return &service{api: client, timeout: s.timeout, place: s.place(cfg.Region)}, nil
}

// place describes where requests go to.
func (s settings) place(region string) string {
	text := "region " + region
	if s.endpoint != "" {
		text += ", endpoint " + s.endpoint
	}
	if s.profile != "" {
		text += ", profile " + s.profile
	}
	if s.roleARN != "" {
		text += ", role " + s.roleARN
	}
	return text
}

// credentials marks the errors of a provider, so that they are told apart from
// those of KMS.
type credentials struct{ aws.CredentialsProvider }

func (c credentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	value, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return value, &credentialsError{err}
	}
	return value, nil
}

type credentialsError struct{ cause error }

func (e *credentialsError) Error() string { return e.cause.Error() }
func (e *credentialsError) Unwrap() error { return e.cause }

// bounded cuts answers off that are too long.
type bounded struct{ kms.HTTPClient }

func (b bounded) Do(r *http.Request) (*http.Response, error) {
	response, err := b.HTTPClient.Do(r)
	if err == nil {
		response.Body = signer.BoundBody(response.Body, maxAnswer)
	}
	return response, err
}
